"""How far a map of what speaks for a class can be trusted.

Deletion and insertion: Petsiuk, Das & Saenko 2018 (RISE), https://arxiv.org/abs/1806.07421. Infidelity and sensitivity:
Yeh et al. 2019, https://arxiv.org/abs/1901.09392, as Captum computes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from explorer.attribution.methods import Counted, attribute, explained_class
from explorer.attribution.result import Attribution, Unit, baseline_picture
from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import Batch, ModelView, as_batch, from_pixels
from explorer.types import ExplorerError, Progress, Size


@dataclass(frozen=True)
class Removal:
    """How deletion and insertion are done: the definition stands next to every curve."""

    unit: Unit = Unit.PATCHES
    """What is removed at a time; a map of the other kind is averaged over patches, or repeated over pixels."""
    steps: int = 32
    """Points of a curve after the first, at most one for each unit."""
    deleted_to: Baseline = Baseline.MEAN
    inserted_into: Baseline = Baseline.BLURRED
    batch: int = 16

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1:
            raise ExplorerError(f"Steps and batch of at least 1 were expected; {self.steps} and {self.batch} came.")

    def sentence(self) -> str:
        """The definition in words."""
        return (
            f"Probability of the class as {self.unit}, most important first, are replaced by the {self.deleted_to} "
            f"picture (deletion) or brought back into the {self.inserted_into} one (insertion); AUC by trapezia over "
            "the share of the picture."
        )


@dataclass(frozen=True, eq=False)
class RemovalCurve:
    """Probability of the class against the share of the picture that was deleted or inserted."""

    share: Float[Tensor, " point"]
    probability: Float[Tensor, " point"]

    @property
    def auc(self) -> float:
        """Area under the curve by trapezia, in [0, 1]: low is good for deletion, high for insertion."""
        return float(torch.trapezoid(self.probability, self.share))


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Both curves of one map."""

    deletion: RemovalCurve
    insertion: RemovalCurve
    removal: Removal
    target: int


def deletion_and_insertion(
    model: LoadedModel,
    view: ModelView,
    attribution: Attribution,
    removal: Removal = Removal(),
    progress: Progress | None = None,
) -> Faithfulness:
    """Curves of the softmax probability of the map's class; of equal values, the first in reading order goes first.

    After `k` of `K` steps `round(k n / K)` of the `n` patches or pixels are replaced. A map is judged on the model
    that is given, whichever made it.
    """
    _check_size(model, attribution)
    with torch.inference_mode(False), torch.no_grad():
        behind, pixels = from_pixels(model), as_batch(view, model)
        target = explained_class(model, behind, pixels, attribution.target)
        values = attribution.on_patches() if removal.unit is Unit.PATCHES else attribution.on_pixels()
        steps = min(removal.steps, values.numel())
        forward = Counted(behind, 2 * (steps + 1), progress)
        curves = []
        for before, after in ((None, removal.deleted_to), (removal.inserted_into, None)):
            start, end = (
                pixels if kind is None else baseline_picture(pixels, kind, behind) for kind in (before, after)
            )
            probability = [
                torch.softmax(forward(torch.where(gone.to(pixels.device), end, start)), dim=1)[:, target]
                for gone in _masks(values, steps, attribution.size, removal.batch)
            ]
            counts = _counts(values.numel(), steps)
            curves.append(RemovalCurve(counts / values.numel(), torch.cat(probability).float().cpu()))
    return Faithfulness(curves[0], curves[1], removal, target)


def _counts(units: int, steps: int) -> Float[Tensor, " point"]:
    """Units replaced at every point of a curve."""
    return torch.tensor([round(step * units / steps) for step in range(steps + 1)], dtype=torch.float32)


def _masks(
    values: Float[Tensor, "row column"], steps: int, size: Size, batch: int
) -> Iterator[Bool[Tensor, "image 1 height width"]]:
    """Where pixels are replaced at every point of a curve, in batches."""
    order = values.flatten().argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(order.numel())
    for counts in _counts(order.numel(), steps).split(batch):
        gone = (place.view(1, 1, *values.shape) < counts.view(-1, 1, 1, 1)).float()
        yield F.interpolate(gone, size=size, mode="nearest-exact") > 0.5


def infidelity(
    model: LoadedModel,
    view: ModelView,
    attribution: Attribution,
    *,
    samples: int = 64,
    seed: int = 0,
    baseline: Baseline = Baseline.MEAN,
    batch: int = 16,
    progress: Progress | None = None,
) -> float:
    """`mean((b s - (y(x) - y(x')))^2)` in squared logits: how badly the map foretells the fall of the class's logit.

    `x'` has a random half of the patches replaced by the baseline, each by a coin of its own; `s` is the sum of the map
    over them and `b` the factor that fits best, so that maps of every unit compare (Captum's `normalize`). A map that
    is zero everywhere has the mean squared fall itself.
    """
    from captum.metrics import infidelity as captum_infidelity

    _check_size(model, attribution)
    with torch.inference_mode(False), torch.no_grad():
        behind, pixels = from_pixels(model), as_batch(view, model)
        target = explained_class(model, behind, pixels, attribution.target)
        nothing = baseline_picture(pixels, baseline, behind)
        coins = torch.rand(samples, 1, *attribution.grid, generator=torch.Generator().manual_seed(seed)) < 0.5
        gone = F.interpolate(coins.float(), size=attribution.size, mode="nearest-exact").to(pixels)
        left = iter(gone.split(1))

        def replace_patches(x: Batch) -> tuple[Batch, Batch]:
            mask = torch.cat([next(left) for _ in x]).expand_as(x)
            return mask, torch.where(mask > 0.5, nothing, x)

        area = 1 if attribution.on is Unit.PIXELS else gone.shape[2] * gone.shape[3] // coins[0].numel()
        spread = (attribution.on_pixels() / (3 * area)).to(pixels).expand_as(pixels)
        batch = min(batch, samples)
        # Captum passes the image itself along with every batch.
        forward = Counted(behind, samples + -(-samples // batch), progress)
        mean_square = captum_infidelity(
            forward,
            replace_patches,
            pixels,
            spread,
            target=target,
            n_perturb_samples=samples,
            max_examples_per_batch=batch,
            normalize=True,
        )
    return max(0.0, float(mean_square))


def sensitivity(
    model: LoadedModel,
    view: ModelView,
    method: Method,
    target: int | None = None,
    settings: AttributionSettings = AttributionSettings(),
    *,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """`max ||map(x + e) - map(x)|| / ||map(x)||` over uniform noise `e` of at most `radius`, clamped to [0, 1].

    0 is a map that noise does not move. `progress` counts maps, `samples + 1` of them.
    """
    from captum.metrics import sensitivity_max

    with torch.inference_mode(False), torch.no_grad():
        pixels = as_batch(view, model)
        chosen = explained_class(model, from_pixels(model), pixels, target)
        generator = torch.Generator().manual_seed(seed)

        def disturb(x: Batch) -> Batch:
            noise = torch.rand(x.shape, generator=generator, dtype=torch.float64) * 2 - 1
            return (x + radius * noise.to(x)).clamp(0, 1)

        def explain(x: Batch | tuple[Batch, ...]) -> tuple[Tensor, ...]:
            # Always a tuple: of a lone tensor Captum would take the first axis for one.
            return (torch.cat([counted(image[None]) for image in (x if isinstance(x, Tensor) else x[0])]),)

        def map_values(image: Batch) -> Tensor:
            return attribute(model, image[0], method, chosen, settings).values[None]

        counted = Counted(map_values, samples + 1, progress)
        return float(sensitivity_max(explain, pixels, disturb, n_perturb_samples=samples, max_examples_per_batch=1))


def rank_correlation(first: Attribution, second: Attribution) -> float:
    """Spearman's rank correlation of two maps, on patches unless both are on pixels; NaN where one is constant.

    Raises `ExplorerError` for maps of different grids.
    """
    from scipy.stats import ConstantInputWarning, spearmanr  # type: ignore[import-untyped]

    if (first.size, first.grid) != (second.size, second.grid):
        raise ExplorerError(
            f"Maps on one grid were expected; {first.grid} patches of {first.size} pixels and {second.grid} of "
            f"{second.size} came."
        )
    by_pixel = first.on is second.on is Unit.PIXELS
    left, right = (attribution.on_pixels() if by_pixel else attribution.on_patches() for attribution in (first, second))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # NaN says it
        return float(spearmanr(left.flatten().numpy(), right.flatten().numpy()).statistic)


def _check_size(model: LoadedModel, attribution: Attribution) -> None:
    expected = model.card.preprocessing.input_size
    if attribution.size != expected:
        raise ExplorerError(f"A map of {expected} pixels was expected; one of {attribution.size} came.")
