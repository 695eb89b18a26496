"""The suite's own pair says that it is random, and one setting says which pair opens, wherever something is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from explorer.measures import attention
from explorer.models import sources
from explorer.pictures import examples
from explorer.serving.pair import load_pair
from tests import pair

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pair.write(tmp_path_factory.mktemp("own") / "pair" / pair.NAME)


def test_random_weights_stand_behind_no_real_name(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(own))
    assert own.name.startswith("random-")
    for card in pair.facts().cards:
        assert card.name.startswith("Random ")
        assert "random weights" in card.recipe
        assert card.top1 is None
        assert {one.wnid for one in examples.EXAMPLES if one.wnid} <= set(card.wnids)


def test_its_attention_is_far_from_uniform_and_from_a_single_token(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(own))
    both = load_pair(device="cpu")
    comparisons = [both.compare(f"example:{item.file}") for item in examples.EXAMPLES]
    for traces in ([one.baseline for one in comparisons], [one.twicing for one in comparisons]):
        looked_at = torch.stack([attention.entropy(trace.attention).exp().mean(dim=(1, 2)) for trace in traces])
        by_layer = looked_at.mean(dim=0)  # tokens; more where a photograph is nearly of one colour
        assert by_layer.min() > 2
        assert by_layer.max() < pair.facts().tokens / 2
        assert len({int(trace.logits.argmax()) for trace in traces}) > 1


def test_the_same_seeds_give_the_same_files(own: Path, tmp_path: Path) -> None:
    again = pair.write(tmp_path / pair.NAME)
    for end in ("standard.safetensors", "twicing.safetensors", "fgsm.jsonl", "pgd.jsonl"):
        assert Path(f"{again}-{end}").read_bytes() == Path(f"{own}-{end}").read_bytes()


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_shell_refuses_a_pair_that_is_not_there_in_a_sentence(tmp_path: Path) -> None:
    words = ("-m", "explorer", "figure", "dynamics", "--out", str(tmp_path / "x.pdf"))
    done = python(*words, EXPLORER_PAIR=str(tmp_path / "mine"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "explorer: EXPLORER_PAIR was expected to be what the two files of a pair begin with; "
        f"{tmp_path / 'mine-standard.safetensors'} is not there.\n"
    )


def test_the_suite_refuses_a_pair_that_is_not_there(tmp_path: Path) -> None:
    done = python("-m", "pytest", "-n", "0", "--pair", str(tmp_path / "mine"), "tests/test_pair.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--pair was expected to name two models and their results" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["run", "PAIR=/srv/my weights/mine"],
            "EXPLORER_PAIR='/srv/my weights/mine' .venv/bin/python -m streamlit run",
        ),
        (["run"], ".venv/bin/python -m streamlit run app.py"),
        (["test", "PAIR=/srv/mine", "ARGS=-x"], ".venv/bin/python -m pytest --pair '/srv/mine' -x"),
    ],
)
def test_make_passes_the_pair_on(words: list[str], expected: str) -> None:
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.strip().startswith(expected)], done.stdout
