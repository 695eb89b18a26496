"""What a figure shows, held against measures of traces taken here, and against plain matrices."""

from itertools import pairwise

import numpy as np
import pytest

from explorer.figures.print.cells import Cell, Grid, cells_of
from explorer.figures.print.charts import Curves, Dynamics, Spectra
from explorer.measures import attention, residual, similarity
from explorer.measures.attention import Heads
from explorer.measures.settings import ROUNDING, Definition, Matrix
from explorer.models import LoadedModel
from explorer.models.trace import trace
from explorer.paper import operators
from explorer.pictures import preprocess
from explorer.serving.pair import ModelPair, load_pair
from explorer.studio import TEMPLATES, Made
from explorer.traces import Trace
from explorer.types import CropMode, ExplorerError
from tests.helpers import assert_one_sentence, quadratics
from tests.studio.helpers import STANDARD, TWICING, made, model, pair, photo, photos, plain, prefixed, swapped

ROLES = ("baseline", "twicing")
OURS = (model(), model("Tiny-Twicing", TWICING, 1))


def traces(seed: int, models: tuple[LoadedModel, ...] = OURS) -> list[Trace]:
    """Of a picture, without engine or studio."""
    image = photo(seed=seed).open()
    found = []
    for one in models:
        pre = one.card.preprocessing
        found += trace(one.module, preprocess.batch([preprocess.model_view(image.rgb, pre)], pre))
    return found


def grid(figure: Made) -> Grid:
    assert isinstance(figure.content.drawing, Grid)
    return figure.content.drawing


def cells(figure: Made) -> list[Cell]:
    return list(cells_of(grid(figure)))


def assert_near(left: np.ndarray, right: object) -> None:
    np.testing.assert_allclose(left, np.asarray(right), rtol=2e-5, atol=1e-6)


# --- attention ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", Matrix)
def test_maps_are_the_rows_of_the_matrix(matrix: str) -> None:
    figure = made("heatmaps", matrix=matrix, layers=(1, 3))
    for role, index in zip(ROLES, (0, 1), strict=True):
        for layer in (1, 3):
            shown = figure.numbers[f"{role}, layer {layer}, head mean"]
            for seed in (0, 1):
                one = traces(seed)[index]
                row = (
                    attention.rollout(one, 0)[layer - 1]
                    if matrix == "rollout"
                    else attention.rows(one, 0, matrix)[layer - 1].mean(dim=0)
                )
                assert_near(shown[seed], row[1:].reshape(4, 4))


def test_an_effective_map_is_plain_matrix_algebra() -> None:
    """Row CLS of `2A - A^2` of each head, averaged; nothing of ours but the traced `A`."""
    A = traces(0)[1].attention[2].double().numpy()  # (H, N, N)
    expected = np.mean([(2 * a - a @ a)[0, 1:] for a in A], axis=0).reshape(4, 4)
    assert_near(plain("heatmaps").numbers["twicing, layer 3, head mean"][0], expected)
    standard = traces(0)[0].attention[2].mean(dim=0)[0, 1:].reshape(4, 4)
    assert_near(plain("heatmaps").numbers["baseline, layer 3, head mean"][0], standard)


def test_heads_are_the_mean_the_largest_or_one() -> None:
    rows = attention.rows(traces(0)[1], 0, Matrix.EFFECTIVE)
    expected = {
        "mean": attention.combine_heads(rows, Heads.MEAN)[2],
        "max": attention.combine_heads(rows, Heads.MAX)[2],
        "1": rows[2, 0],
        "2": rows[2, 1],
    }
    for heads, row in expected.items():
        assert_near(
            made("heatmaps", 1, heads=heads).numbers[f"twicing, layer 3, head {heads}"][0], row[1:].reshape(4, 4)
        )
    every = made("heatmaps", 1, heads="all")
    assert every.content.heads == ("1", "2")
    assert_near(every.numbers["twicing, layer 3, head 2"][0], expected["2"][1:].reshape(4, 4))


@pytest.mark.parametrize(
    ("query", "patch"),
    [("0,0", (0, 0)), ("1,1", (3, 3)), ("0,1", (0, 3)), ("0.25,0.2499", (1, 0)), ("0.6,0.74", (2, 2))],
)
def test_a_place_is_a_patch(query: str, patch: tuple[int, int]) -> None:
    figure = made("matrices", 1, query=query, layers=(2,))
    token = 1 + 4 * patch[0] + patch[1]
    for matrix in (Matrix.ATTENTION, Matrix.CORRECTION, Matrix.TWICING):
        row = attention.rows(traces(0)[0], token, matrix)[1].mean(dim=0)
        assert_near(figure.numbers[f"baseline, layer 2, head mean, {matrix.label}"][0], row[1:].reshape(4, 4))
    for cell in [*cells(figure), grid(figure).blocks[0].lead]:
        assert cell.mark is not None
        assert (cell.mark.top, cell.mark.left, cell.mark.height) == (patch[0] / 4, patch[1] / 4, 1 / 4)


def test_cls_has_no_outline() -> None:
    assert all(cell.mark is None for cell in cells(plain("heatmaps")))


@pytest.fixture(scope="module")
def classless() -> tuple[LoadedModel, LoadedModel]:
    options = {"class_token": False, "global_pool": "avg"}
    return model("Bare", STANDARD, 2, **options), model("Bare-Twicing", TWICING, 3, **options)


def test_without_cls_the_mean_patch_asks(classless: tuple[LoadedModel, LoadedModel]) -> None:
    figure = made("heatmaps", 1, load_pair(*classless, device="cpu"))
    A = traces(0, classless)[1].attention[2].double().numpy()
    expected = np.mean([(2 * a - a @ a).mean(axis=0) for a in A], axis=0).reshape(4, 4)
    assert_near(figure.numbers["twicing, layer 3, head mean"][0], expected)
    assert "mean patch" in figure.caption


@pytest.mark.parametrize(("query", "tokens"), [("register-3", (3, 0)), ("distillation", (0, 1)), ("cls", (0, 0))])
def test_any_prefix_token_asks_and_cls_stands_in(query: str, tokens: tuple[int, int]) -> None:
    figure = made("heatmaps", 1, load_pair(*prefixed(), device="cpu"), query=query)
    matrices = (Matrix.ATTENTION, Matrix.TWICING)
    for role, one, token, matrix in zip(ROLES, traces(0, prefixed()), tokens, matrices, strict=True):
        row = attention.rows(one, token, matrix)[2].mean(dim=0)
        assert_near(figure.numbers[f"{role}, layer 3, head mean"][0], row[one.prefix :].reshape(4, 4))
    assert all(cell.mark is None for cell in cells(figure))


def test_a_token_that_neither_model_has_is_refused() -> None:
    with pytest.raises(ExplorerError) as refusal:
        made("heatmaps", 1, load_pair(*prefixed(), device="cpu"), query="register-4")
    assert_one_sentence(str(refusal.value))
    assert "cls, register-1, register-2, register-3, distillation or a place" in str(refusal.value)
    with pytest.raises(ExplorerError, match="cls or a place was expected, as these models have; distillation came"):
        made("corruption", 1, query="distillation")


# --- residual, similarity, spectra, filters -----------------------------------------------------------------------


def test_residual_maps_and_curves_are_the_measures() -> None:
    for quantity in ("smoothed-residual", "smoothed"):
        figure = made("residual", quantity=quantity, heads="2")
        for index, role in enumerate(ROLES):
            found = [residual.magnitudes(traces(seed)[index]) for seed in (0, 1)]
            values = [f.smoothed if quantity == "smoothed" else f.smoothed_residual for f in found]
            shown = figure.numbers[f"{role}, layer 3, head 2"]
            assert_near(shown, [v[2, 1, 1:].reshape(4, 4) for v in values])
            curves = np.array([v[:, 1, 1:].mean(dim=-1).numpy() for v in values])
            assert_near(figure.numbers[f"{role}_mean"], curves.mean(axis=0))
            assert_near(figure.numbers[f"{role}_std"], curves.std(axis=0, ddof=1))


def test_the_smoothed_residual_is_plain_matrix_algebra() -> None:
    one = traces(0)[0]
    A, V = one.attention[2].double().numpy(), one.values[2].double().numpy()
    lengths = np.linalg.norm(A @ (V - A @ V), axis=-1)
    assert_near(plain("residual").numbers["baseline, layer 3, head mean"][0], lengths.mean(axis=0)[1:].reshape(4, 4))
    ratio = np.linalg.norm((A @ (V - A @ V))[:, 1:], axis=(1, 2)) / np.linalg.norm((A @ V)[:, 1:], axis=(1, 2))
    assert_near(made("residual", 1, quantity="ratio").numbers["baseline_mean"][2], ratio.mean())


def test_a_standard_block_would_give_back() -> None:
    below = plain("residual").content.below
    assert below is not None
    assert [(line.name, line.dashed) for line in below.lines] == [
        ("DeiT, would give back", True),
        ("DeiT-Twicing", False),
    ]


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("with_cls", [False, True])
def test_similarity_is_the_measure(with_cls: bool, absolute: bool) -> None:
    figure = made("similarity", 3, with_cls=with_cls, absolute=absolute)
    definition = Definition(with_cls, absolute, False)
    for index, role in enumerate(ROLES):
        curves = np.stack([similarity.token_similarity(traces(seed)[index], definition) for seed in range(3)])
        assert_near(figure.numbers[role], curves)
        assert_near(figure.numbers[f"{role}_mean"], curves.mean(axis=0))
        assert_near(figure.numbers[f"{role}_std"], curves.std(axis=0, ddof=1))
    assert isinstance(figure.content.drawing, Curves)
    assert figure.content.drawing.first_layer == 0


def test_one_image_has_no_band() -> None:
    shown = made("similarity", 1).content.drawing
    assert isinstance(shown, Curves)
    assert all(line.spread is None for line in shown.lines)


def test_spectra_are_eigenvalues_and_their_images() -> None:
    figure = made("spectrum", 2, layers=(2,))
    shown = figure.content.drawing
    assert isinstance(shown, Spectra)
    for index, points in enumerate(shown.panels[0][1]):
        matrices = np.concatenate([traces(seed)[index].attention[1].double().numpy() for seed in (0, 1)])
        expected = np.linalg.eigvals(matrices).flatten()
        assert_near(np.sort(np.abs(points.eigenvalues)), np.sort(np.abs(expected)))
        np.testing.assert_allclose(points.mapped, 2 * points.eigenvalues - points.eigenvalues**2)
        gone = int((np.abs(2 * expected - expected**2) > 1 + ROUNDING).sum())
        assert points.outside == gone
        assert figure.content.outside[index] == f"{gone} of {2 * 2 * 17}"


def test_every_eigenvalue_says_whose_it_is() -> None:
    figure = made("spectrum", 2, layers=(2,), heads="2")
    table = figure.content.table
    assert table is not None
    assert table.header[:4] == ("image", "layer", "model", "head")
    for index, role in enumerate(ROLES):
        for seed, source in enumerate(photos(2)):
            rows = [row for row in table.rows if (row[0], *row[1:4]) == (source.name, 2, role, 2)]
            matrix = traces(seed)[index].attention[1, 1].double().numpy()
            moduli = [abs(complex(row[4], row[5])) for row in rows]
            assert_near(np.sort(moduli), np.sort(np.abs(np.linalg.eigvals(matrix))))
    assert {row[3] for row in made("spectrum", 1, layers=(2,)).content.table.rows} == {1, 2}  # type: ignore[union-attr]


def test_dynamics_are_the_powers_and_the_moduli() -> None:
    figure = made("dynamics", 1, iterations=(1, 3), heads="2")
    x = figure.numbers["x"]
    assert_near(figure.numbers["standard_n3"], x**3)
    assert_near(figure.numbers["twicing_n3"], (2 * x - x**2) ** 3)
    for index, role in enumerate(ROLES):
        expected = np.linalg.eigvals(traces(0)[index].attention[2, 1].double().numpy())
        assert_near(np.sort(figure.numbers[f"moduli_{role}"]), np.sort(np.abs(expected)))
    shown = made("dynamics", 0).content.drawing
    assert isinstance(shown, Dynamics)
    assert shown.moduli == ()


# --- scales -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["heatmaps", "evolution", "residual", "matrices"])
def test_scales(template: str) -> None:
    """Each map its own, both models together, or all of them: never less than the values, never more."""
    layers = (1, 3)
    for scale in ("map", "shared", "figure"):
        figure = made(template, layers=layers, heads="all", scale=scale)
        values = {k: v for k, v in figure.numbers.items() if ", layer" in k}
        for name, maps in values.items():
            key = name.partition(", ")[2]
            base = key.rpartition(", ")[0] if template == "matrices" else key
            for image in (0, 1):
                among = {
                    "map": [maps[image]],
                    "shared": [v[image] for k, v in values.items() if k.partition(", ")[2].startswith(base)],
                    "figure": list(values.values()),
                }[scale]
                expected = max(float(np.abs(one).max()) for one in among)
                (cell,) = [c for c in cells(figure) if np.array_equal(c.values, maps[image])]
                assert cell.range.high == pytest.approx(expected)
                assert cell.range.low in (0.0, -cell.range.high)


def test_signed_maps_are_symmetric_and_unsigned_ones_start_at_zero() -> None:
    lows = {
        matrix: {cell.range.low < 0 for cell in cells(made("heatmaps", matrix=matrix, scale="map"))}
        for matrix in Matrix
    }
    assert lows == {
        "effective": {False, True},  # the standard model's own is A
        "a": {False},
        "a-a2": {True},
        "2a-a2": {True},
        "rollout": {False, True},
    }
    for cell in cells(plain("matrices")):
        assert cell.range.low == -cell.range.high


@pytest.mark.parametrize("template", ["heatmaps", "evolution", "residual", "matrices"])
@pytest.mark.parametrize("scale", ["map", "shared", "figure"])
def test_ranges_are_said_in_the_order_in_which_maps_are_read(template: str, scale: str) -> None:
    figure = made(template, 1, layers=(1, 2), heads="all", scale=scale)
    ends = [cell.range.high for cell in cells(figure)]
    assert list(figure.content.ranges) == list(dict.fromkeys(ends))


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop_pct", [1.0, 0.8])
@pytest.mark.parametrize("crop_mode", list(CropMode))
@pytest.mark.parametrize("size", [(48, 64), (100, 60), (40, 40)])
def test_a_map_lies_over_what_the_model_saw(size: tuple[int, int], crop_mode: CropMode, crop_pct: float) -> None:
    """On the whole photograph, the region under the map is the model's crop: cut by hand it gives the model's view."""
    one = model("Crop", STANDARD, 4, crop_pct=crop_pct, crop_mode=crop_mode)
    both = load_pair(one, one, device="cpu")
    image = photo(seed=3, size=size)
    (whole, _), (sharp, _) = (
        cells(made("heatmaps", [image], both, picture=picture)) for picture in ("original", "sharp")
    )
    assert np.array_equal(whole.picture, image.open().rgb)
    target = tuple(int(32 / crop_pct) for _ in range(2))  # timm: resize, then the middle
    side = min(size)
    resized = target if crop_mode is CropMode.SQUASH else (target[0] * size[0] // side, target[1] * size[1] // side)
    shares = 32 / resized[0], 32 / resized[1]
    assert (whole.region.height, whole.region.width) == pytest.approx(shares, abs=1e-6)
    assert whole.region.top + whole.region.height / 2 == pytest.approx(0.5, abs=0.5 / resized[0])
    assert whole.region.left + whole.region.width / 2 == pytest.approx(0.5, abs=0.5 / resized[1])
    assert (sharp.region.top, sharp.region.height) == (0, 1)
    assert sharp.aspect == pytest.approx(1.0)


def test_the_picture_as_the_model_saw_it_is_its_own_pixels() -> None:
    figure = made("heatmaps", 1, picture="model")
    (cell, _) = cells(figure)
    seen = preprocess.model_view(photo().open().rgb, OURS[0].card.preprocessing)
    factor = cell.picture.shape[0] // 32
    np.testing.assert_array_equal(cell.picture[::factor, ::factor], seen)


def test_models_of_different_depth_heads_grid_and_crop() -> None:
    other = model("Wide", (1.0, 2.0, 2.0, 2.0), 5, heads=4, size=(48, 48), crop_pct=0.75)
    both = load_pair(model(), other, device="cpu")
    for template in TEMPLATES:
        figure = made(template, 2, both)
        assert figure.file(".pdf").startswith(b"%PDF")
    figure = made("evolution", 1, both, heads="all", query="1,0", picture="original")
    assert figure.content.layers == (1, 2, 3)
    assert figure.content.heads == ("1", "2")
    first, second = cells(figure)[0], cells(figure)[3]
    assert first.values is not None
    assert second.values is not None
    assert (first.values.shape, second.values.shape) == ((4, 4), (6, 6))
    assert first.mark is not None
    assert second.mark is not None
    assert first.region.height > second.region.height
    for cell in (first, second):
        assert cell.mark is not None
        assert cell.mark.top + cell.mark.height == pytest.approx(cell.region.top + cell.region.height)
        assert cell.mark.left == pytest.approx(cell.region.left)
    for name, values in made("similarity", 1, both).numbers.items():
        assert name not in ROLES or values.shape == (1, 4 if name == "baseline" else 5)


def test_photographs_of_other_shapes_stay_in_proportion() -> None:
    """Two models whose inputs have different shapes: neither picture is stretched into the other's place."""
    wide = model("Broad", STANDARD, 6, size=(32, 64))
    figure = made("heatmaps", 1, load_pair(model(), wide, device="cpu"))
    shown = figure.figure(vector=True).axes[0].images
    ratios = {round(abs(e[3] - e[2]) / (e[1] - e[0]), 2) for e in (one.get_extent() for one in shown)}
    assert {one for one in ratios if one > 0.1} == {1.0, 0.5}  # but for the colour bar


# --- what does not fit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "images", "settings", "named"),
    [
        ("heatmaps", 0, {}, "image"),
        ("similarity", 0, {}, "image"),
        ("heatmaps", 1, {"layers": (1, 4)}, "4"),
        ("evolution", 1, {"heads": "3"}, "3"),
        ("heatmaps", 2, {"labels": ("one",)}, "labels"),
    ],
)
def test_what_does_not_fit_is_one_sentence(template: str, images: int, settings: dict[str, object], named: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        made(template, images, **settings)
    assert_one_sentence(str(caught.value))
    assert named in str(caught.value)


def test_layers_that_are_not_given() -> None:
    expected = {"heatmaps": (3,), "evolution": (1, 2, 3), "spectrum": (1, 2, 3), "residual": (3,), "matrices": (3,)}
    assert {name: plain(name).content.layers for name in expected} == expected


def test_names_say_what_the_models_are() -> None:
    assert plain("heatmaps").names == ("DeiT", "DeiT-Twicing")
    assert made("heatmaps", 1, swapped()).names == ("DeiT", "DeiT-Twicing (operator swapped)")
    assert made("heatmaps", 1, swapped(), names=("A", "B")).names == ("A", "B (operator swapped)")
    assert made("heatmaps", 1, names=("A", "B")).names == ("A", "B")
    layered = load_pair(
        model("L", quadratics(1.0, 2.0, 2.0), 7), model("M", quadratics(2.0, 1.0, 2.0), 8), device="cpu"
    )
    assert made("dynamics", 0, layered).names == ("DeiT-Twicing [2-3]", "M")
    mixed = model("N", operators.in_blocks("neutreno,twicing,twicing", 3), 7)
    assert made("dynamics", 0, load_pair(mixed, device="cpu")).names[0] == "N"
    same = ModelPair(pair().engine, pair().baseline, pair().baseline)
    assert made("dynamics", 0, same).names == ("Tiny", "Tiny")
    foreign = model("ViT-x", architecture="vit_tiny_patch16_224", seed=9)
    assert made("dynamics", 0, load_pair(foreign, device="cpu")).names[0] == "ViT-x"


def test_progress_is_told_image_by_image() -> None:
    from explorer.studio import Spec, make

    told: list[tuple[int, int]] = []
    make(Spec(TEMPLATES["similarity"]), photos(3), pair(), lambda done, total: told.append((done, total)))
    assert told[0] == (0, 3)
    assert all(earlier < later for earlier, later in pairwise(told))


def test_a_result_does_not_depend_on_what_else_was_asked() -> None:
    alone = made("similarity", photos(2)[1:]).numbers["twicing"][0]
    assert np.array_equal(plain("similarity").numbers["twicing"][1], alone)
