"""Corruptions, attacks and measured accuracy in figures, held against what is computed here by other means."""

import math
from pathlib import Path

import numpy as np
import pytest

from explorer.disturb.attacks import perturb
from explorer.disturb.corruptions import Corruption, corrupt
from explorer.figures.print.cells import Grid, cells_of
from explorer.figures.print.trials import Trials
from explorer.models import sources
from explorer.models.pixels import as_batch, from_pixels
from explorer.models.trace import trace
from explorer.pictures import preprocess
from explorer.pictures.photographs import Photograph
from explorer.runs import measured
from explorer.serving.pair import load_pair
from explorer.studio import TEMPLATES, Made, Spec, again, make, record, sweeps
from explorer.studio.templates.attack import settings as attack_of
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, paired_interval
from tests.studio.helpers import STANDARD, TWICING, made, model, pair, photo, plain, result, results

OURS = (model(), model("Tiny-Twicing", TWICING, 1))
ROLES = ("baseline", "twicing")


def grid(figure: Made) -> Grid:
    assert isinstance(figure.content.drawing, Grid)
    return figure.content.drawing


def refusal(*files: Photograph, models=None) -> str:
    with pytest.raises(ExplorerError) as caught:
        made("robustness", list(files), models)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def file(data: bytes, name: str = "x.jsonl") -> Photograph:
    return Photograph(name, name, lambda: data)


# --- corruption ---------------------------------------------------------------------------------------------------


def entropy(p: np.ndarray) -> np.ndarray:
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=-1)


@pytest.mark.parametrize("index", [0, 1])
def test_numbers_under_a_corruption_are_those_of_plain_arithmetic(index: int) -> None:
    """Drift by entropies of the mixture, margin and cosine by hand, severity by severity."""
    figure = made("corruption", 2, corruption="contrast", seed=3)
    one, role = OURS[index], ROLES[index]
    pre = one.card.preprocessing
    for seed in (0, 1):
        seen = preprocess.model_view(photo(seed=seed).open().rgb, pre)
        pictures = [corrupt(seen, Corruption.CONTRAST, severity, 3).rgb for severity in range(6)]
        traces = [trace(one.module, preprocess.batch([picture], pre))[0] for picture in pictures]
        first = int(traces[0].logits.argmax())
        for severity, now in enumerate(traces):
            p, q = (t.attention.double().numpy() for t in (traces[0], now))
            drift = (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).mean()
            shares = np.exp(now.logits.double().numpy()) / np.exp(now.logits.double().numpy()).sum()
            x, y = (t.tokens[-1, 1:].double().numpy() for t in (traces[0], now))
            cosine = ((x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).mean()
            expected = {
                "drift": drift,
                "probability": shares[first],
                "margin": shares[first] - np.delete(shares, first).max(),
                "token_cosine": cosine,
            }
            for name, value in expected.items():
                assert figure.numbers[f"{role}, {name}"][seed, severity] == pytest.approx(value, abs=2e-5), name
            A = now.attention[2].double().numpy()
            effective = np.mean([a if index == 0 else 2 * a - a @ a for a in A], axis=0)[0, 1:].reshape(4, 4)
            shown = figure.numbers[f"{role}, layer 3, head mean, severity {severity}"][seed]
            np.testing.assert_allclose(shown, effective, rtol=2e-4, atol=2e-6)
    both = figure.numbers[f"{role}, drift"]
    np.testing.assert_allclose(figure.numbers[f"{role}_drift_mean"], both.mean(axis=0))
    np.testing.assert_allclose(figure.numbers[f"{role}_drift_std"], both.std(axis=0, ddof=1))


def test_the_photograph_stands_over_its_maps() -> None:
    """First the pixels of the model's input, clean then disturbed; both models' maps on one scale."""
    figure = made("corruption", 1, corruption="jpeg")
    (block,) = grid(figure).blocks
    assert block.lead is None
    assert [row.label for row in block.rows] == ["Image", "DeiT", "DeiT-Twicing"]
    seen = preprocess.model_view(photo().open().rgb, OURS[0].card.preprocessing)
    for severity, cell in enumerate(block.rows[0].cells):
        np.testing.assert_array_equal(cell.picture, corrupt(seen, Corruption.JPEG, severity).rgb)
        assert cell.values is None
    maps = [cell for row in block.rows[1:] for cell in row.cells]
    largest = max(float(np.abs(cell.values).max()) for cell in maps)
    assert [cell.range.high for cell in maps] == [pytest.approx(largest)] * 12
    assert figure.content.ranges == (pytest.approx(largest),)
    assert all(cell.is_sharp for cell in cells_of(grid(figure)))


@pytest.mark.parametrize(("scale", "count"), [("map", 12), ("shared", 1), ("figure", 1)])
def test_scales_over_severities(scale: str, count: int) -> None:
    assert len(made("corruption", 1, scale=scale).content.ranges) == count


def test_one_image_has_no_band_and_several_have_one() -> None:
    for count in (1, 2):
        below = made("corruption", count).content.below
        assert isinstance(below, Trials)
        assert {line.low is None for panel in below.panels for line in panel.lines} == {count == 1}


def test_a_corruption_is_said() -> None:
    caption = made("corruption", 2, corruption="defocus-blur", seed=7).caption
    assert "Defocus blur, seed 7." in caption
    assert "As in CIFAR-10-C (Hendrycks and Dietterich 2019); severities 1 to 5: disc of radius 0.3" in caption
    assert "0.3, 0.4, 0.5, 1, 1.5 px." in caption
    assert "all severities share one scale" in caption
    assert "Ours; severities 1 to 5: share of the area covered" in made("corruption", 1, corruption="occlusion").caption
    assert "JPEG of quality 85 at the end." in made("corruption", 1, final_jpeg=True).caption
    assert "at the end" not in caption


# --- attack -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"attack": "pgd", "steps": 3, "eps": 2.0, "random_start": True, "seed": 5}])
def test_adversarial_images_are_those_of_the_attack(settings: dict[str, object]) -> None:
    figure = made("attack", 2, **settings)
    attack = attack_of(figure.spec)
    for role, one in zip(ROLES, OURS, strict=True):
        for seed in (0, 1):
            image = photo(seed=seed).open()
            pixels = as_batch(preprocess.model_view(image.rgb, one.card.preprocessing), one)
            behind = from_pixels(one)
            label = behind(pixels).argmax(dim=1)
            expected = perturb(behind, pixels, label, attack, [image.digest])
            found = figure.numbers[f"{role}, adversarial"][seed]
            np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-6)
            change = found - figure.numbers[f"{role}, clean"][seed]
            assert np.abs(change).max() <= attack.eps + 1e-6
            row = figure.content.table.rows[2 * seed + ROLES.index(role)]
            told = dict(zip(figure.content.table.header, row, strict=True))
            before, after = (behind(x).softmax(dim=1)[0, int(label)] for x in (pixels, expected))
            assert told["attacked_probability_before"] == pytest.approx(float(before), abs=1e-5)
            assert told["attacked_probability_after"] == pytest.approx(float(after), abs=1e-5)
            assert told["loss_after_nats"] == pytest.approx(-math.log(float(after)), abs=1e-4)


def test_what_stands_beneath_adversarial_images() -> None:
    figure = plain("attack")
    table = [dict(zip(figure.content.table.header, row, strict=True)) for row in figure.content.table.rows]
    notes = [cell.note for cell in cells_of(grid(figure))]
    assert notes[0] == f"{table[0]['clean_answer']} ({100 * table[0]['clean_probability']:.0f}%)"
    assert notes[1] == "at most 4/255"
    assert notes[5] == f"{table[1]['adversarial_answer']} ({100 * table[1]['adversarial_probability']:.0f}%)"


def test_the_attacked_class_is_said() -> None:
    figure = made("attack", 1, target="fox", attack="pgd", steps=2)
    assert "PGD, eps 4/255, 2 steps of 5/255 from the image itself" in figure.caption
    assert "away from the class fox" in figure.caption
    assert {row[2] for row in figure.content.table.rows} == {"fox"}
    assert "away from each model's first choice" in plain("attack").caption
    assert "perturbation times 32 around grey" in plain("attack").caption


def test_no_budget_changes_nothing() -> None:
    figure = made("attack", 1, eps=0.0)
    np.testing.assert_array_equal(figure.numbers["twicing, adversarial"], figure.numbers["twicing, clean"])
    assert all((cell.picture == 128).all() for cell in cells_of(grid(figure))[1::3])


def test_a_model_without_classes_is_refused_in_a_sentence() -> None:
    bare = model("Bare", STANDARD, 3)
    bare.module.reset_classifier(0)
    for template in ("corruption", "attack"):
        with pytest.raises(ExplorerError) as caught:
            made(template, 1, load_pair(bare, model("B", TWICING, 1), device="cpu"))
        assert_one_sentence(str(caught.value))
        assert "classifier" in str(caught.value)


# --- robustness ---------------------------------------------------------------------------------------------------


def wilson(hits: int, count: int) -> tuple[float, float]:
    """As roots of `(p - x)^2 = z^2 x (1 - x) / n`."""
    z, p = 1.959964, hits / count
    low, high = sorted(np.roots([1 + z * z / count, -(2 * p + z * z / count), p * p]).real)
    return float(low), float(high)


def test_accuracy_is_counted_from_the_file() -> None:
    ranks = [[[1, 1, 2, 6], [1, 2, 2, 3]], [[1, 2, 3, 4], [1, 1, 1, 9]], [[3, 3, 3, 3], [1, 1, 2, 2]]]
    data = result(pair(), count=0) + b"".join(
        b'{"id": "%d", "label": 0, "ranks": %s}\n' % (i, str(one).encode()) for i, one in enumerate(ranks)
    )
    numbers = made("robustness", [file(data)]).numbers
    table = np.array(ranks)
    for side, role in enumerate(ROLES):
        hits = (table[:, side] == 1).sum(axis=0)
        np.testing.assert_allclose(numbers[f"{role}_top1"], hits / 3)
        np.testing.assert_allclose(numbers[f"{role}_top5"], (table[:, side] <= 5).mean(axis=0))
        for place, hit in enumerate(hits):
            ends = numbers[f"{role}_low"][place], numbers[f"{role}_high"][place]
            assert ends == pytest.approx(wilson(int(hit), 3), abs=1e-6)
    paired = np.array([paired_interval(*(table[:, :, place].T == 1)) for place in range(table.shape[2])]).T
    for name, expected in zip(("difference", "difference_low", "difference_high"), paired, strict=True):
        np.testing.assert_allclose(numbers[name], expected, atol=1e-6)
    assert numbers["eps_255ths"].tolist() == [0, 1, 2, 4]


def test_transfer_is_drawn_in_the_colour_of_who_is_shown_the_images() -> None:
    """The file's third list is of the twicing model, shown what fools the baseline; the fourth the other way round."""
    ranks = [[[1, 1], [1, 2], [1, 1], [1, 7]], [[2, 2], [1, 2], [1, 2], [1, 3]]]
    header = result(pair(), count=0, eps=[0, 4 / 255], transfer=True)
    data = header + b"".join(
        b'{"id": "%d", "label": 0, "ranks": %s}\n' % (i, str(one).encode()) for i, one in enumerate(ranks)
    )
    figure = made("robustness", [file(data)], transfer=True)
    numbers = figure.numbers
    assert numbers["twicing_transfer_top1"].tolist() == [1, 0.5]
    assert numbers["baseline_transfer_top1"].tolist() == [1, 0]
    assert numbers["baseline_transfer_top5"].tolist() == [1, 0.5]
    assert (numbers["baseline_transfer_low"][1], numbers["baseline_transfer_high"][1]) == pytest.approx(wilson(0, 2))
    assert numbers["baseline_top1"].tolist() == [0.5, 0.5]
    (panel,) = figure.content.drawing.panels
    colours = ["#0072B2", "#D55E00"]
    assert [line.colour for line in panel.lines] == 2 * colours
    assert [line.dash for line in panel.lines] == ["solid", "solid", "dot", "dot"]
    assert [line.y.tolist() for line in panel.lines[2:]] == [[1, 0], [1, 0.5]]
    axes = figure.figure().axes[0]
    assert [line.get_linestyle() for line in axes.get_lines()] == ["-", "-", ":", ":"]
    key = [text.get_text() for text in figure.figure().legends[0].get_texts()]
    assert sorted(key) == sorted(["DeiT", "DeiT-Twicing", "DeiT, transfer", "DeiT-Twicing, transfer"])
    assert "made to fool the other model" in figure.caption
    assert "--transfer" in figure.command


def test_transfer_is_left_out_unless_it_is_asked_for() -> None:
    data = file(result(pair(), transfer=True))
    figure = made("robustness", [data])
    assert len(figure.content.drawing.panels[0].lines) == 2
    assert not any("transfer" in name for name in figure.numbers)
    assert "fool" not in figure.caption
    with pytest.raises(ExplorerError) as caught:
        made("robustness", [data, file(result(pair()), "old.jsonl")], transfer=True)
    assert_one_sentence(str(caught.value))
    assert "old.jsonl" in str(caught.value)


def test_a_panel_for_each_file() -> None:
    shown = plain("robustness").content.drawing
    assert isinstance(shown, Trials)
    assert [panel.title for panel in shown.panels] == ["FGSM", "PGD, 20 steps"]
    labelled = made("robustness", 2, labels=("ours", "theirs")).content.drawing
    assert [panel.title for panel in labelled.panels] == ["ours", "theirs"]


def test_a_caption_says_data_intervals_and_differences() -> None:
    caption = plain("robustness").caption
    for words in (
        "40 images, pixels and labels with SHA-256 abababababab.",
        r"95\% Wilson intervals",
        "PGD, 20 steps of 0.15/255 from the image itself",
        "paired over the images",
        " clean, $",
        "at 4/255",
    ):
        assert words in caption, caption
    named = made("robustness", [file(result(pair(), data="my 100% data"))]).caption
    assert r"data my 100\% data" in named


def test_results_of_other_models_are_refused() -> None:
    other = load_pair(model(seed=5), OURS[1], device="cpu")
    assert "filters" in refusal(*results(1, other))
    assert "filters" in refusal(*results(1), models=other)
    half = load_pair(*OURS, twicing_filter=1.5, device="cpu")
    assert "filters" in refusal(*results(1), models=half)
    exchanged = result(pair(), models=[{"name": "B", "digest": "01" * 32, "filter": [2.0] * 3}] * 2)
    assert "B and B" in refusal(file(exchanged))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n",
        b"{}\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        result(pair(), attack={"kind": "CW", "seed": 0}),
        result(pair(), attack=[]),
        result(pair(), attack={"kind": "FGSM", "seed": "zero"}),
        result(pair(), attack={"kind": "PGD", "seed": 0, "steps": 10**9}),
        result(pair(), eps=[]),
        result(pair(), eps=["1"] * 4).replace(b'"1"', b'"x"'),
        result(pair(), eps=[9.0, math.nan]),
        result(pair(), models=7),
        result(pair(), models=[]),
        result(pair(), count=0),
        result(pair())[:400],
    ],
)
def test_another_file_is_one_sentence(data: bytes) -> None:
    message = refusal(file(data))
    assert "x.jsonl" in message or "200 steps" in message


def test_other_files_are_not_the_figure_again() -> None:
    known = plain("robustness").record
    found = record.read(known.json().encode())
    assert again(found, results(), pair()).record == known
    with pytest.raises(ExplorerError) as caught:
        again(found, [file(result(pair(), count=20)), results()[1]], pair())
    assert "SHA-256" in str(caught.value)


def test_no_result_beside_the_pair_is_one_sentence() -> None:
    assert "none of Tiny and Tiny-Twicing lies beside the pair" in refusal()


def test_the_results_beside_the_pair_belong_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert_results_belong(monkeypatch, tmp_path)


def assert_results_belong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Named by their labels wherever it is run, and told apart from a file of that name."""
    opening, folder = load_pair(device="cpu"), sources.prefix().parent.name
    labels = [one.name for one in sweeps.inputs((), opening)]
    assert labels == [name for name in measured.files() if measured.is_of(measured.results()[name], opening.cards)]
    assert all(name.startswith(f"{folder}/") for name in labels)
    made_here = make(Spec(TEMPLATES["robustness"]), [], opening)
    assert f"--images {' '.join(labels)}" in made_here.command
    monkeypatch.chdir(tmp_path)
    assert make(Spec(TEMPLATES["robustness"]), labels, opening).record == made_here.record
    (tmp_path / folder).mkdir()
    (tmp_path / labels[0]).write_bytes(result(opening))
    assert sweeps.inputs(labels[:1], opening)[0].read() == result(opening)
    assert measured.of_pair(measured.results(), opening.cards[::-1]) == {}
