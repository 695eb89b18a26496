"""Jobs that do what a real one should not, for replicas to run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.jobs import Job
from explorer.models import LoadedModel
from explorer.types import ExplorerError, ImageInput, Progress


@dataclass(frozen=True)
class SlowJob(Job[float]):
    """Says ten times a second how far it is, and how long it took."""

    seconds: float

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> float:
        steps, began = round(self.seconds * 10), time.monotonic()
        for step in range(steps):
            tell(step, steps)
            time.sleep(0.1)
        return time.monotonic() - began


@dataclass(frozen=True)
class FailingJob(Job[None]):
    """Fails with a sentence, or with another error."""

    sentence: str = ""

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> None:
        raise ExplorerError(self.sentence) if self.sentence else ZeroDivisionError
