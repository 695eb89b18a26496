"""Every piece of work that needs a model, as a record: what is to be computed, and by what settings.

A job is frozen, hashable and can be pickled, so that what it comes to can be remembered under it and
another process can run it; the model and the pictures come when it runs. `explorer.serving` runs jobs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import ClassVar, Generic, TypeVar

from explorer.models import LoadedModel
from explorer.pictures import preprocess
from explorer.types import ExplorerError, ImageInput, ModelCard, Picture, Preprocessing, Progress

R = TypeVar("R")


class Job(ABC, Generic[R]):
    """Work with one model, such as gradients, that may take long."""

    @abstractmethod
    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> R:
        """The result; `tell` is passed on, or called after every pass, and cancels by raising."""


class PassJob(Job[list[R]]):
    """One plain pass, with a result for each picture that no other picture changes: passes of many are one."""

    is_remembered: ClassVar[bool] = True

    def identity(self, card: ModelCard) -> Hashable:
        """What decides a picture's result beside the picture: the same identity, the same result."""
        return self, card.key


def views(model: LoadedModel, pictures: Sequence[ImageInput]) -> list[Picture]:
    """What the model sees of each picture. Raises `ExplorerError` for one that was cut for another preprocessing."""
    return [_view(picture, model.card.preprocessing) for picture in pictures]


def _view(picture: ImageInput, preprocessing: Preprocessing) -> Picture:
    if picture.view_of is None:
        return preprocess.model_view(picture.rgb, preprocessing)
    if picture.view_of != preprocessing:
        raise ExplorerError(f"A view for {preprocessing} was expected; one for {picture.view_of} came.")
    return picture.rgb
