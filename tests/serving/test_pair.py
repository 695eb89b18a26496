"""Two models side by side without a screen: what may name a model, and filters that are not their own."""

import os
from pathlib import Path

import pytest

from explorer.models import load, sources
from explorer.serving import pair as pairs
from explorer.serving.pair import load_pair
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, trace_digest
from tests.studio.helpers import STANDARD, TWICING, model, photo, picture


def refusal(*models: object, **filters: object) -> str:
    with pytest.raises(ExplorerError) as caught:
        load_pair(*models, device="cpu", **filters)  # type: ignore[arg-type]
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def test_models_may_be_loaded_ones_or_files(checkpoint: Path) -> None:
    both = load_pair(model(), checkpoint, device="cpu")
    assert [card.name for card in both.cards] == ["Tiny", "Tiny-Twicing"]
    assert load_pair(str(checkpoint), load(checkpoint), device="cpu").baseline == both.twicing


def test_the_pair_that_opens_is_the_default() -> None:
    both = load_pair(device="cpu")
    start = Path(os.environ[sources.PAIR_VARIABLE])
    assert [card.source for card in both.cards] == [
        f"{start.parent.name}/{start.name}-{variant}.safetensors" for variant in ("standard", "twicing")
    ]
    assert not any(card.is_counterfactual for card in both.cards)


def test_a_label_names_a_file_of_a_known_folder(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The file that is there comes first."""
    monkeypatch.setenv(sources.VARIABLE, str(checkpoint.parent))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    label = f"{checkpoint.parent.name}/{checkpoint.name}"
    assert load_pair(label, model(), device="cpu").baseline.source == label
    assert "absent.safetensors" in refusal(f"{checkpoint.parent.name}/absent.safetensors")


@pytest.mark.parametrize("filter", [2, 2.0, TWICING])
def test_another_filter_is_a_counterfactual(filter: object) -> None:
    both = load_pair(model(), model("Other", seed=1), twicing_filter=filter, device="cpu")  # type: ignore[arg-type]
    assert both.twicing.filter == TWICING
    assert both.twicing.trained_filter == STANDARD
    assert [card.is_counterfactual for card in both.cards] == [False, True]
    own = load_pair(model(), model("Other", seed=1), baseline_filter=1.0, twicing_filter=STANDARD, device="cpu")
    assert not any(card.is_counterfactual for card in own.cards)


def test_the_same_model_may_be_on_both_sides() -> None:
    both = load_pair(model(), model(), twicing_filter=2.0, device="cpu")
    first, second = both.compare(photo())
    assert trace_digest(first) != trace_digest(second)
    assert (first.filter, second.filter) == (STANDARD, TWICING)


@pytest.mark.parametrize("filter", [float("nan"), float("inf"), (1.0, float("nan"), 1.0)])
def test_a_filter_that_is_no_number_is_refused(filter: object) -> None:
    assert "finite" in refusal(model(), model(), twicing_filter=filter)


@pytest.mark.parametrize("filter", [(), (2.0,), (2.0,) * 4])
def test_a_filter_of_another_length_is_refused(filter: tuple[float, ...]) -> None:
    assert "3 blocks" in refusal(model(), model(), baseline_filter=filter)


@pytest.mark.parametrize("source", ["hub:", "hub:no_such_model", "absent.pth", Path("absent.pth")])
def test_what_is_no_model_is_refused(source: object) -> None:
    refusal(source)


def test_an_image_may_be_named_in_any_way(tmp_path: Path) -> None:
    both = load_pair(model(), model("Other", TWICING, 1), device="cpu")
    path = tmp_path / "x.png"
    path.write_bytes(picture())
    known = [trace_digest(one) for one in both.compare(photo())]
    for image in (path, str(path), picture(), photo().open()):
        assert [trace_digest(one) for one in both.compare(image)] == known
    with pytest.raises(ExplorerError):
        both.compare(tmp_path / "absent.png")


def test_the_cache_is_bounded() -> None:
    assert pairs._CACHE <= 64 * 2**20
