"""One model's way through a run: the trunk, the decays off it, its log, and a state that survives a kill."""

from __future__ import annotations

import hashlib
import io
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explorer import files
from explorer.training.batches import TrainingBatch
from explorer.training.kept import Beginning, reading_state
from explorer.training.learner import Learner
from explorer.training.plan import EVERY, PlanRow
from explorer.training.recipe import Decay
from explorer.types import ExplorerError

_BEGINNING = b"\0" * 32


class Track:
    """A learner, the step it is at, and the decay it is in, if any."""

    def __init__(
        self, learner: Learner, folder: Path, identity: dict[str, Any], beginning: Beginning | None = None
    ) -> None:
        """Goes on from the folder's state where there is one, else from the step of what the learner began with.

        Raises `ExplorerError` for a state that cannot be read or is of another recipe.
        """
        self.learner, self.folder, self.identity = learner, folder, identity
        self.since, self.rise = (beginning.step, beginning.rise) if beginning else (0, None)
        self.step, self.chain = self.since, _BEGINNING
        self.decay: Decay | None = None
        self.finished: list[int] = []
        """Where the decays that are done left the trunk."""
        self.core_seconds = beginning.core_seconds if beginning else 0.0
        self.rows: list[PlanRow] = []
        self._sums, self._seconds, self._count = torch.zeros(2, device=self.learner.device), 0.0, 0
        files.make_folder(folder)
        if (folder / "state.pt").exists():
            self._read(folder / "state.pt")
        self._log_anew()

    @property
    def position(self) -> tuple[int, int]:
        """Where the model is, to compare models: decays done, then the step."""
        return len(self.finished), self.step

    def enter(self, planned: list[Decay]) -> None:
        """Leaves the trunk for a decay that begins here; an interrupted one goes on."""
        due = [decay for decay in planned if decay.at not in self.finished]
        if self.decay or not due or self.step < due[0].at:
            return
        if self.step > due[0].at:
            raise ExplorerError(
                f"A decay at step {due[0].at} was planned, but the trunk is at step {self.step} already."
            )
        self.save()  # what the trunk goes on from
        self.decay = due[0]
        files.make_folder(self._branch)
        if (self._branch / "state.pt").exists():
            self._read(self._branch / "state.pt")
            self._log_anew()

    def leave(self) -> None:
        """Back to the trunk, to before the decay; what the decay cost and logged is kept."""
        assert self.decay is not None
        branch, cost, rows = self._branch, self.core_seconds, self.rows
        finished = [*self.finished, self.decay.at]
        self.decay = None
        self._read(self.folder / "state.pt")
        self.core_seconds, self.rows, self.finished = cost, rows, finished
        self.save()
        files.remove(branch / "state.pt")

    def take(self, batch: TrainingBatch, bf16: bool) -> None:
        """One step. The time it takes is told by `spend`."""
        rate = self.learner.recipe.rate(self.step, self.decay, self.since, self.rise)
        self._sums += self.learner.step(batch, self.step, rate, self.decay, bf16)
        self.chain = hashlib.sha256(self.chain + batch.digest).digest()
        self.step += 1
        self._count += 1

    @property
    def is_line_due(self) -> bool:
        """Whether the log gets a line after the step before."""
        return self.step % EVERY == 0 or (self.decay is not None and self.step == self.decay.end)

    def spend(self, seconds: float, size: int, bf16: bool) -> None:
        """Core-seconds of the step before; every so many steps a line of the log."""
        self.core_seconds += seconds
        self._seconds += seconds
        if not self.is_line_due:
            return
        loss, hits = (self._sums / self._count).tolist()
        self.note(
            size=size,
            loss=round(loss, 4),
            crops_top1=round(100 * hits, 2),
            rate=self.learner.recipe.rate(self.step - 1, self.decay, self.since, self.rise),
            precision="bfloat16" if bf16 else "float32",
            batches=self.chain.hex()[:16],
            core_seconds_a_step=round(self._seconds / self._count, 4),
        )
        self._sums, self._seconds, self._count = torch.zeros(2, device=self.learner.device), 0.0, 0

    def note(self, **values: Any) -> None:
        """A line of the log."""
        row: PlanRow = {
            "step": self.step,
            "images": self.step * self.learner.recipe.batch_size,
            "decay": self.decay.at if self.decay else None,
            **values,
            "core_seconds": round(self.core_seconds, 1),
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "time": round(time.time()),
        }
        self.rows.append(row)
        files.append(self.folder / "log.jsonl", (json.dumps(row) + "\n").encode())

    @property
    def _branch(self) -> Path:
        assert self.decay is not None
        return self.folder / self.decay.name

    def save(self) -> None:
        """The state of the trunk or of the decay, whole or not at all."""
        buffer = io.BytesIO()
        kept = ("step", "chain", "finished", "core_seconds", "rows", "since", "rise")
        torch.save(
            {name: getattr(self, name) for name in kept} | {"identity": self.identity, **self.learner.state()}, buffer
        )
        files.write_atomically((self._branch if self.decay else self.folder) / "state.pt", buffer.getvalue())

    def average(self) -> dict[str, Tensor]:
        """The weights' moving average."""
        state: dict[str, Tensor] = self.learner.ema.module.state_dict()
        return state

    def _read(self, path: Path) -> None:
        with reading_state(path, self.learner.device) as state:
            if state["identity"] != self.identity:
                raise ExplorerError(
                    f"{self.folder.parent.name} holds a run with another recipe or other data; choose another folder."
                )
            self.learner.restore(state)
            for name in ("step", "chain", "finished", "core_seconds", "rows", "since", "rise"):
                setattr(self, name, state[name])
        self._sums, self._seconds, self._count = torch.zeros(2, device=self.learner.device), 0.0, 0

    def _log_anew(self) -> None:
        """The log as the state knows it: lines of steps that were lost go."""
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        files.write_atomically(self.folder / "log.jsonl", text.encode())
