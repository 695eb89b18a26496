"""What may be asked of runs, and what of it is refused."""

import pytest

from explorer.disturb.corruptions import Corruption
from explorer.measures.settings import Queries
from explorer.runs.settings import Evaluation, Plan, Sample
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


def test_severities_and_strengths_are_one_list() -> None:
    assert Plan().strengths == Plan(severities=(5, 4, 3, 2, 1)).strengths == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert Plan(strength=(2.5,)).strengths == (2.5,)
    assert Plan(severities=(2, 3), strength=(2.5, 2.0)).strengths == (2.0, 2.5, 3.0)


def test_without_settings_all_is_disturbed_and_all_rows_count() -> None:
    assert Plan().kinds == tuple(Corruption)
    assert (Plan().queries, Plan(first_token=True).queries) == (Queries.ALL, Queries.FIRST)


@pytest.mark.parametrize(
    ("record", "values", "words"),
    [
        (Plan, {"kinds": ()}, "none came"),
        (Plan, {"severities": (0,)}, "severities: 1 to 5 was expected; 0 came."),
        (Plan, {"strength": (0.0,)}, "above 0 and up to 5 were expected; 0 came."),
        (Plan, {"strength": (float("nan"),)}, "nan came"),
        (Plan, {"seed": 10_000}, "seed: 0 to 9999 was expected; 10000 came."),
        (Evaluation, {"images": 0}, "images: at least 1 was expected; 0 came."),
        (Evaluation, {"measures": 0}, "measures: at least 1"),
        (Evaluation, {"source_size": -1}, "source_size: 1 to 1024 was expected; -1 came."),
        (Evaluation, {"source_size": 100_000}, "source_size: 1 to 1024"),
        (Evaluation, {"times": (1, 0)}, "times: 1 to 4096 was expected; 0 came."),
        (Evaluation, {"seed": 2**64}, "seed: 0 to 9223372036854775807"),
        (Sample, {"images": 0}, "images: at least 1"),
        (Sample, {"batch_size": 10**9}, "batch_size: 1 to 4096"),
        (Sample, {"source_size": 1025}, "source_size: 1 to 1024 was expected; 1025 came."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(record: type, values: dict[str, object], words: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        record(**values)
    assert_one_sentence(str(caught.value))
    assert words in str(caught.value)
