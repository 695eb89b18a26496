"""Where a figure comes from: told, read, and turned into the command that makes it again."""

import io
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from explorer import cli
from explorer.cli.options import given as given_options
from explorer.models import sources
from explorer.paper import operators
from explorer.pictures.photographs import photograph
from explorer.serving.pair import load_pair
from explorer.studio import TEMPLATES, Spec, again, record
from explorer.studio.parse import from_settings
from explorer.studio.record import Record
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, quadratics
from tests.studio.helpers import inputs, made, model, pair, photo, photos, plain, swapped
from tests.studio.strategies import told

PARSER = cli._parser("figure")
WRITTEN = Path(__file__).parent / "written"


def parsed(command: str) -> Any:
    """What the command line makes of a command."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "explorer"]
    return PARSER.parse_args(words[3:])


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(ExplorerError) as caught:
        act()
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def changed(**values: Any) -> bytes:
    return json.dumps({**plain("heatmaps").record.as_dict(), **values}).encode()


# --- told and read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_json_makes_the_same_figure(template: str) -> None:
    known = plain(template)
    found = record.read(known.record.json().encode())
    assert found == known.record
    assert again(found, inputs(template), pair()).file(".svg") == known.file(".svg")


def test_a_png_holds_the_record() -> None:
    known = made("matrices", dpi=36, labels=("猫 $x$", "Ω\n"), query="0.3,0.7")
    found = record.read(known.file(".png"))
    assert found == known.record
    assert again(found, photos(), pair()).file(".png") == known.file(".png")


def test_a_pdf_holds_the_record() -> None:
    known = made("dynamics", names=("A (b) \\ c", "猫"))
    metadata = pypdf.PdfReader(io.BytesIO(known.file(".pdf"))).metadata
    assert metadata is not None
    assert metadata["/Keywords"] == known.record.json()
    assert metadata["/Creator"].startswith("Twicing Explorer")
    assert "/CreationDate" not in metadata


def test_a_record_says_what_fixes_the_bytes() -> None:
    told = plain("heatmaps").record.as_dict()
    assert [one["name"] for one in told["images"]] == ["disc 0.png", "disc 1.png"]
    assert all(len(one["sha256"]) == 64 for one in told["images"])
    assert [one["role"] for one in told["models"]] == ["baseline", "twicing"]
    assert told["models"][1]["filter"] == [2.0, 2.0, 2.0]
    assert {"python", "torch", "timm", "matplotlib", "numpy", "pillow"} <= told["versions"].keys()
    assert (told["device"], told["threads"]) == ("cpu", 1)


def test_the_largest_poster_is_read() -> None:
    """More pixels than Pillow opens from strangers."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(record.KEYWORD, plain("heatmaps").record.json())
    stream = io.BytesIO()
    Image.new("1", (15000, 13000)).save(stream, "PNG", pnginfo=info)
    assert record.read(stream.getvalue()) == plain("heatmaps").record


# --- other files, images and weights ------------------------------------------------------------------------------


MODEL = plain("heatmaps").record.as_dict()["models"][0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        changed(settings={"template": "pie"}),
        changed(settings=[]),
        changed(models=[]),
        changed(models=[MODEL]),
        changed(models=[MODEL, MODEL]),
        changed(models=[MODEL, {**MODEL, "role": "twicing", "filter": "two"}]),
        changed(models=[MODEL, {**MODEL, "role": "twicing", "filter": [float("nan")]}]),
        changed(models=[MODEL, {"role": "twicing", "sha256": ""}]),
        changed(images=[{"name": "a"}]),
        changed(images=7),
        changed(threads="many"),
    ],
)
def test_another_file_is_one_sentence(data: bytes) -> None:
    refusal(lambda: record.read(data))


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    with pytest.raises(ExplorerError):
        record.read(data)


def test_a_png_of_somebody_else_is_refused() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2)).save(stream, "PNG")
    refusal(lambda: record.read(stream.getvalue()))


def test_other_images_are_refused() -> None:
    found = plain("heatmaps").record
    assert "SHA-256" in refusal(lambda: again(found, [photo(seed=0), photo(seed=7)], pair()))
    assert "SHA-256" in refusal(lambda: again(found, photos()[::-1], pair()))
    assert "SHA-256" in refusal(lambda: again(found, photos(1), pair()))


def test_other_weights_are_refused() -> None:
    found = plain("heatmaps").record
    other = load_pair(model(seed=5), model("Tiny-Twicing", quadratics(2.0) * 3, 1), device="cpu")
    message = refusal(lambda: again(found, photos(), other))
    assert "Tiny" in message
    assert "baseline" in message


def test_another_filter_is_refused() -> None:
    found = made("heatmaps", 1, swapped()).record
    own = load_pair(model(), model("Tiny-Other", seed=1), device="cpu")
    assert "filter" in refusal(lambda: again(found, photos(1), own))


# --- the command --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(told())
def test_a_command_is_read_as_the_same_settings(values: dict[str, Any]) -> None:
    spec = Spec(**values)
    options = parsed(Record(spec, (), (), "cpu", 1).command("x.pdf"))
    assert from_settings({"template": options.template, **given_options(options, Spec)}) == spec


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, max_size=3))
def test_a_command_names_any_image(names: list[str]) -> None:
    images = tuple((photograph(name.replace("/", "")).name or "x", "0") for name in names)
    options = parsed(Record(Spec(TEMPLATES["heatmaps"]), images, (), "cpu", 1).command("x.pdf"))
    assert [name.removeprefix("./") for name in options.images] == [name.removeprefix("./") for name, _ in images]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3).map(tuple))
def test_a_command_has_every_digit_of_a_filter(filter: tuple[float, ...]) -> None:
    card = pair().baseline.with_filter(quadratics(*filter))
    known = record.of(Spec(TEMPLATES["heatmaps"]), (), (card, pair().twicing), pair().engine.device)
    options = parsed(known.command("x.pdf"))
    if card.filter == card.trained_filter:
        assert options.baseline_operator is None
    else:
        assert operators.in_blocks(options.baseline_operator, 3) == quadratics(*filter)
        assert ("," in options.baseline_operator) == (len(set(filter)) > 1)
    assert options.twicing_operator is None


def test_a_command_names_models_that_are_not_bundled() -> None:
    options = parsed(plain("heatmaps").command)
    assert (options.baseline, options.twicing) == ("tiny/Tiny.safetensors", "tiny/Tiny-Twicing.safetensors")


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nobody names a pair to open on."""
    monkeypatch.delenv(sources.PAIR_VARIABLE)


@pytest.mark.usefixtures("no_variable")
def test_a_bundled_model_need_not_be_named() -> None:
    known = Record(Spec(TEMPLATES["heatmaps"]), (), _bundled("standard", "twicing"), "cpu", 1)
    assert "--baseline" not in known.command("x.pdf")
    exchanged = Record(Spec(TEMPLATES["heatmaps"]), (), _bundled("twicing", "standard"), "cpu", 1)
    assert parsed(exchanged.command("x.pdf")).baseline.endswith("-twicing.safetensors")


@pytest.mark.parametrize("prefix", ["checkpoints/mine", f"elsewhere/checkpoints/{sources.BUNDLED_PAIR}"])
def test_where_another_pair_opens_every_model_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: str
) -> None:
    """What goes without saying there is something else elsewhere, and the other way round."""
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(tmp_path / prefix))
    for models in (_bundled("standard", "twicing"), _models(*sources.labels())):
        options = parsed(Record(Spec(TEMPLATES["heatmaps"]), (), models, "cpu", 1).command("x.pdf"))
        assert [options.baseline, options.twicing] == [model["source"] for model in models]


def test_the_bundled_pair_named_by_the_variable_is_the_bundled_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.PAIR_VARIABLE, os.path.relpath(sources.BUNDLED / sources.BUNDLED_PAIR))
    known = Record(Spec(TEMPLATES["heatmaps"]), (), _bundled("standard", "twicing"), "cpu", 1)
    assert "--baseline" not in known.command("x.pdf")


def _bundled(*variants: str) -> tuple[dict[str, Any], ...]:
    return _models(*(f"checkpoints/{sources.BUNDLED_PAIR}-{one}.safetensors" for one in variants))


def _models(*labels: str) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"role": role, "source": label, "filter": [1.0], "trained_filter": [1.0]}
        for role, label in zip(("baseline", "twicing"), labels, strict=True)
    )


@pytest.mark.usefixtures("no_variable")
def test_a_stranger_in_a_folder_called_checkpoints_is_named() -> None:
    """Only the bundled file itself goes without saying."""
    stranger = {**_bundled("standard", "twicing")[0], "source": "checkpoints/mine-standard.safetensors"}
    known = Record(Spec(TEMPLATES["heatmaps"]), (), (stranger,), "cpu", 1)
    assert parsed(known.command("x.pdf")).baseline == "checkpoints/mine-standard.safetensors"


@pytest.mark.usefixtures("no_variable")
def test_a_model_of_the_hub_is_named_as_the_shell_names_it() -> None:
    one = {**_bundled("standard", "twicing")[0], "source": "hub: timm/deit_tiny_patch16_224.fb_in1k"}
    known = Record(Spec(TEMPLATES["heatmaps"]), (), (one,), "cpu", 1)
    assert parsed(known.command("x.pdf")).baseline == "hub:deit_tiny_patch16_224.fb_in1k"


# --- what earlier versions wrote ----------------------------------------------------------------------------------


ADDED = {"corruption": {"final_jpeg": False, "operators": "standard,twicing,neutreno", "weights": "baseline"}}
"""Settings that templates had not yet, and what they stand for where a record has none."""


@pytest.mark.parametrize("path", sorted(WRITTEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_record_written_before_is_read_and_written_alike(path: Path) -> None:
    """Every spelling of a choice in it is still the one that is written."""
    text = path.read_text(encoding="utf-8")
    settings = json.loads(json.dumps(record.read(text.encode()).spec.as_settings()))
    assert settings.pop("input_size") is None
    assert settings == {**ADDED.get(path.stem, {}), **json.loads(text)["settings"]}
    assert {"a-a2", "jpeg", "pgd", "gradient-shap", "blurred", "ratio", "figure", "magma", "original"} <= {
        value for value in settings.values() if isinstance(value, str)
    }
