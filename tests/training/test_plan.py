"""What a run's folder says: planned decays, logs, when it should end."""

import json
from pathlib import Path
from typing import Any

import pytest

from explorer.training import plan
from explorer.training.recipe import Decay
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


def row(step: int, core_seconds: float = 0.0, decay: int | None = None, **values: Any) -> plan.PlanRow:
    return {"step": step, "images": 32 * step, "decay": decay, "core_seconds": core_seconds, **values}


def write(folder: Path, name: str, *rows: plan.PlanRow, tail: str = "") -> None:
    (folder / name).mkdir(exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in rows)
    (folder / name / "log.jsonl").write_text(text + tail, encoding="utf-8")


def refused(*arguments: Any, **named: Any) -> str:
    with pytest.raises(ExplorerError) as caught:
        plan.add(*arguments, **named)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def test_nothing_is_planned_at_first(tmp_path: Path) -> None:
    assert plan.decays(tmp_path) == []


def test_a_decay_is_planned_ahead_of_every_model(tmp_path: Path) -> None:
    """A model may already be behind the last line of its log, and may write its next while the plan is made."""
    write(tmp_path, "standard", row(100), row(120))
    write(tmp_path, "twicing", row(100), row(130, decay=110))  # steps of a decay are none of the trunk
    decay = plan.add(tmp_path, 50, 224)
    assert decay == Decay(120 + 3 * plan.EVERY, 50, 224)
    assert plan.decays(tmp_path) == [decay]


def test_decays_come_one_after_the_other(tmp_path: Path) -> None:
    write(tmp_path, "standard", row(20))
    first, second = plan.add(tmp_path, 50, 224), plan.add(tmp_path, 10, 112, last=True)
    assert first.at < second.at
    assert plan.decays(tmp_path) == [first, second]


def test_after_the_last_decay_none_is_planned(tmp_path: Path) -> None:
    write(tmp_path, "standard", row(20))
    plan.add(tmp_path, 50, 224, last=True)
    assert "already planned" in refused(tmp_path, 50, 224)


def test_a_run_that_has_not_begun_is_refused(tmp_path: Path) -> None:
    assert "none yet" in refused(tmp_path, 50, 224)
    write(tmp_path, "standard", row(20))
    write(tmp_path, "twicing")  # its first line is still to come
    assert "none yet" in refused(tmp_path, 50, 224)


@pytest.mark.parametrize("steps", [0, -5])
def test_decays_of_no_steps_are_refused(tmp_path: Path, steps: int) -> None:
    write(tmp_path, "standard", row(20))
    assert str(steps) in refused(tmp_path, steps, 224)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"at": 1}]', '{"at": 1}'])
def test_a_plan_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ExplorerError, match=r"plan\.json"):
        plan.decays(tmp_path)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "standard", row(20), tail='{"step": 40, "ima')
    assert plan.log(tmp_path / "standard") == [row(20)]
    assert plan.log(tmp_path / "absent") == []


def test_batches_are_compared_where_several_models_have_a_line() -> None:
    first = [row(20, batches="a"), row(40, batches="b"), row(60, decay=40, batches="c"), row(60, validation_loss=1.0)]
    second = [row(20, batches="a"), row(40, batches="b")]
    assert plan.check_batches([first, second]) == 2
    assert plan.check_batches([first]) == 3
    assert plan.check_batches([]) == 0
    with pytest.raises(ExplorerError, match="at step 60 they differ"):
        plan.check_batches([first, [row(60, decay=40, batches="x")]])
    assert plan.check_batches([first, [row(60, batches="x")]]) == 0  # the trunk's step 60 is another one


def test_core_hours_are_those_of_all_models_together() -> None:
    assert plan.core_hours([[row(20, 1800.0), row(40, 3600.0)], [row(20, 7200.0)], []]) == 3.0


def test_a_steps_time_is_measured_or_estimated_by_the_area() -> None:
    rows = [row(20, size=112, core_seconds_a_step=3.0), row(40, size=160, core_seconds_a_step=8.0)]
    assert plan.seconds_a_step(rows, 160) == 8.0
    assert plan.seconds_a_step(rows, 224) == pytest.approx(8.0 * 1.4**2)
    assert plan.seconds_a_step([], 224) == 0.0


def losses(*pairs: tuple[int, float], size: int = 112) -> list[plan.PlanRow]:
    return [row(images // 32, size=size, validation_loss=loss) for images, loss in pairs]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (losses((20_000, 1.5), (40_000, 1.4), (60_000, 1.3)), False),
        (losses((20_000, 1.5), (40_000, 1.4), (60_000, 1.495)), True),
        (losses((20_000, 1.5), (40_000, 1.495)), False),  # only 20,000 images apart
        (losses((20_000, 1.5)) + losses((60_000, 1.495), size=160), False),  # another size is no comparison
        ([*losses((20_000, 1.5)), row(1875, decay=10, size=112, validation_loss=1.499)], False),  # nor is a decay
        ([], False),
    ],
)
def test_a_run_stops_gaining_when_its_loss_falls_too_little(rows: list[plan.PlanRow], expected: bool) -> None:
    assert plan.has_stopped_gaining(rows) is expected


def test_a_run_should_end_when_its_last_decay_fills_the_budget() -> None:
    logs = [[row(20, 3600.0, size=224, core_seconds_a_step=36.0)]] * 2  # two hours, and 100 steps take two more
    assert plan.should_end(logs, budget=4.0, steps=100, size=224)
    assert not plan.should_end(logs, budget=4.1, steps=100, size=224)


def test_a_run_should_end_when_no_model_gains() -> None:
    flat, falling = losses((20_000, 1.5), (60_000, 1.5)), losses((20_000, 1.5), (60_000, 1.2))
    assert plan.should_end([flat, flat], budget=1e9, steps=1, size=224)
    assert not plan.should_end([flat, falling], budget=1e9, steps=1, size=224)
