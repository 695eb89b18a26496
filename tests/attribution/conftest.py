"""A loaded tiny model, a view for it, and a linear model whose every attribution is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.models import LoadedModel, with_filter
from explorer.types import Filter
from tests.helpers import CLASSES, quadratics

MakeLoaded = Callable[..., LoadedModel]


@pytest.fixture
def make_loaded(loaded: LoadedModel, make_model: Callable[..., nn.Module]) -> MakeLoaded:
    """A loaded model with other options of timm, or in another precision."""

    def make(
        filter: Filter = quadratics(1.0, 2.0), dtype: torch.dtype = torch.float32, **options: object
    ) -> LoadedModel:
        module = make_model(filter, dtype, **options).requires_grad_(False)
        return LoadedModel(replace(loaded.card, filter=filter), module)

    return make


@pytest.fixture
def view() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


class Linear(nn.Module):
    """`logits = W x + b` on pixels, with as much of a transformer as is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = len(CLASSES)
        self.head = nn.Linear(3 * 32 * 32, self.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


@pytest.fixture
def linear(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A linear model in float64 behind the tiny model's normalisation, on its 4 x 4 grid of patches."""
    from explorer.attribution import methods
    from explorer.models.trace import geometry

    sizes = geometry(loaded.module)
    monkeypatch.setattr(methods, "geometry", lambda module: sizes)
    torch.manual_seed(3)
    return LoadedModel(loaded.card, Linear().double().eval().requires_grad_(False))


@pytest.fixture
def standard(loaded: LoadedModel) -> LoadedModel:
    return with_filter(loaded, quadratics(1.0, 1.0))
