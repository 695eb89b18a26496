"""The pair that ships, without a screen: its files, what lies beside them, and where it stands unnamed."""

import hashlib
import json
from pathlib import Path

import pytest

import explorer
from explorer import cli
from explorer.models import load, sources
from explorer.pictures import examples
from explorer.serving.pair import load_pair
from explorer.studio import record
from explorer.types import ROLES, STANDARD, TWICING
from tests.helpers import picture
from tests.pair import facts
from tests.studio.test_disturbed import assert_results_belong

pytestmark = pytest.mark.usefixtures("shipped")


def test_the_bundled_checkpoints_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (sources.VARIABLE, sources.PAIR_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    assert sources.folders() == [sources.BUNDLED]
    assert len(sources.files()) >= 2
    assert all(label.startswith("checkpoints/") for label in sources.files())
    assert {sources.bundled(variant) for variant in sources.VARIANTS} <= set(sources.files().values())


@pytest.mark.parametrize(("variant", "a"), [("standard", STANDARD), ("twicing", TWICING)])
def test_a_file_says_itself_what_it_is(variant: str, a: float) -> None:
    path = sources.opening(variant)
    card = load(path).card
    assert card.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.declared_by == "the file's own metadata"
    assert card.filter == card.trained_filter == (a,) * facts().depth
    assert len(set(card.wnids)) == len(set(card.classes)) == len(card.classes) > 1
    assert all((card.name, card.recipe, card.data, card.git_revision, card.license))


def test_the_two_differ_in_their_filter_alone() -> None:
    standard, twicing = facts().cards
    for fact in ("architecture", "classes", "wnids", "preprocessing", "data", "license"):
        assert getattr(standard, fact) == getattr(twicing, fact)
    assert standard.name != twicing.name
    assert standard.digest != twicing.digest


def test_it_stands_where_no_model_is_named() -> None:
    both, start = load_pair(device="cpu"), sources.prefix()
    assert [card.source for card in both.cards] == [
        f"{start.parent.name}/{start.name}-{variant}.safetensors" for variant in ("standard", "twicing")
    ]
    assert [card.digest for card in both.cards] == [card.digest for card in facts().cards]
    assert not any(card.is_counterfactual for card in both.cards)


def test_python_shows_it() -> None:
    standard, twicing = (card.name for card in facts().cards)
    title = explorer.view(examples.EXAMPLES[0]).title
    assert title == f"{examples.EXAMPLES[0].name}: {standard} and {twicing}"


def test_the_shell_measures_it(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    picture(1, (64, 64)).save(tmp_path / "root" / "x.png")
    out = tmp_path / "x.csv"
    assert cli.main(["similarity", str(tmp_path / "root"), "--out", str(out), "--device", "cpu"]) == 0
    told = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert [told["models"][side]["filter"][0] for side in ROLES] == [1.0, 2.0]
    assert out.read_text(encoding="utf-8").partition("\n")[0].count("baseline_") == facts().depth + 1


def test_the_shell_draws_it_and_the_figure_names_it_only_where_another_could_stand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(1, (64, 64)).save("x.png")
    assert cli.main(["figure", "heatmaps", "--images", "x.png", "--dpi", "36", "--out", "y.png"]) == 0
    known = record.read(Path("y.png").read_bytes())
    assert [model["sha256"] for model in known.models] == [card.digest for card in facts().cards]
    command = known.command("z.png")
    assert [label in command for label in sources.labels()] == [not sources.opens_bundled()] * 2


def test_its_results_belong_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert_results_belong(monkeypatch, tmp_path)
