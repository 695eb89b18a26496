"""A loaded tiny model and its standard twin, a view, and a small labelled set."""

import numpy as np
import pytest

from explorer.models import LoadedModel, with_filter
from explorer.training.data import Dataset
from tests.helpers import quadratics, small_dataset


@pytest.fixture
def pair(loaded: LoadedModel) -> list[LoadedModel]:
    return [with_filter(loaded, quadratics(1.0, 1.0)), loaded]


@pytest.fixture
def views() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture
def labelled() -> Dataset:
    return small_dataset(each=1, classes=5)
