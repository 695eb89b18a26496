"""Accuracy of a model that says what it is told."""

import pytest
import torch
from torch import Tensor, nn

from explorer.measures.accuracy import Accuracy
from explorer.models.classes import ClassName
from explorer.training.data import Dataset
from explorer.training.evaluate import accuracy
from explorer.types import Preprocessing

PLAIN = Preprocessing(input_size=(4, 4), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Reads(nn.Module):
    """Ranks the classes by distance from the number written into the first pixel."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.classes, self.modes = classes, []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        said = (x[:, 0, 0, 0] * 255).round()
        return -(torch.arange(self.classes) - said[:, None]).abs()


def labelled(said: list[int], labels: list[int], classes: int = 7) -> Dataset:
    images = torch.zeros(len(said), 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(said, dtype=torch.uint8)
    names = tuple(ClassName(f"n{i}", f"name {i}") for i in range(classes))
    return Dataset(images, torch.tensor(labels), names)


@pytest.mark.parametrize("batch_size", [1, 3, 250])
def test_first_and_first_five(batch_size: int) -> None:
    # Said 0: classes 0 to 4 are the first five. Hits at 1, within 5, and a miss.
    reached = accuracy(Reads(), labelled([0, 0, 0, 6], [0, 3, 6, 6]), PLAIN, batch_size)
    assert reached == Accuracy(top1=0.5, top5=0.75, count=4)


def test_fewer_than_five_classes() -> None:
    assert accuracy(Reads(2), labelled([0, 0], [0, 1], 2), PLAIN) == Accuracy(0.5, 1.0, 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_eval_meanwhile_and_restored(training: bool) -> None:
    model = Reads().train(training)
    accuracy(model, labelled([0], [0]), PLAIN)
    assert model.modes == [False]
    assert model.training is training


def test_the_mode_is_restored_after_failure() -> None:
    class Fails(Reads):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    model = Fails().train()
    with pytest.raises(RuntimeError, match="no"):
        accuracy(model, labelled([0], [0]), PLAIN)
    assert model.training
