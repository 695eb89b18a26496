"""What is asked of an attribution; without torch, for the command whose options these are."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.settings import SIDES, Option, check, setting
from explorer.types import ExplorerError

PASSES = (1, 1000)
"""How many pictures a map may take."""


class Method(Option):
    """How a map of class logit `y` is made."""

    SALIENCY = "saliency", "Saliency"
    """`max_c |dy/dx_c|` (Simonyan et al. 2013)."""
    INPUT_X_GRADIENT = "input-x-gradient", "Input × Gradient"
    """`sum_c x_c dy/dx_c`, with x in [0, 1] (Shrikumar et al. 2016)."""
    INTEGRATED_GRADIENTS = "integrated-gradients", "Integrated Gradients"
    """Along the straight line from a baseline; sums to `y(x) - y(baseline)` (Sundararajan et al. 2017)."""
    GRADIENT_SHAP = "gradient-shap", "Gradient SHAP"
    """Expected gradients between the image, with noise, and the four `Baseline` pictures (Lundberg & Lee 2017)."""
    OCCLUSION = "occlusion", "Occlusion"
    """Fall of the logit when a sliding square is replaced, averaged where squares overlap (Zeiler & Fergus 2014)."""
    FEATURE_ABLATION = "feature-ablation", "Feature Ablation"
    """Fall of the logit when one patch is replaced."""
    GRAD_CAM = "grad-cam", "GradCAM"
    """On the tokens the last attention reads, of pooled models on those behind the last norm; signed, without the
    original's ReLU (Selvaraju et al. 2017)."""
    WEIGHTED_ROLLOUT = "weighted-rollout", "Gradient-weighted rollout"
    """On the effective attention of every block, see `rollout` (Chefer et al. 2021, adapted)."""

    @property
    def is_signed(self) -> bool:
        """Whether a value can speak against the class."""
        return self not in (Method.SALIENCY, Method.WEIGHTED_ROLLOUT)

    @property
    def takes_baseline(self) -> bool:
        """Whether `AttributionSettings.baseline` is part of the question."""
        return self in (Method.INTEGRATED_GRADIENTS, Method.OCCLUSION, Method.FEATURE_ABLATION)

    @property
    def unit(self) -> str:
        """Of a value; GradCAM's and the rollout's products, which mix powers of the logit, have none."""
        if self in (Method.GRAD_CAM, Method.WEIGHTED_ROLLOUT):
            return ""
        return "logit per unit of pixel" if self is Method.SALIENCY else "logit"


class Baseline(Option):
    """The picture that stands for "nothing there"."""

    MEAN = "mean colour"
    """The model's normalisation mean: zero at the model's own input."""
    BLACK = "black"
    WHITE = "white"
    BLURRED = "blurred"
    """The image under a Gaussian of a sixteenth of its shorter side: 14 px at 224, 4 px at 64."""


@dataclass(frozen=True)
class AttributionSettings:
    """Everything a map depends on beside model, image, class and method; each method reads what it needs."""

    seed: int = setting(0, "of gradient-shap's noise")
    baseline: Baseline = setting(
        Baseline.MEAN,
        "what stands for nothing in integrated-gradients, occlusion and feature-ablation",
        flag="baseline-picture",
    )
    steps: int = setting(50, "of integrated-gradients, which is Gauss-Legendre", PASSES)
    samples: int = setting(16, "of gradient-shap", PASSES)
    noise: float = 0.02
    """Standard deviation of Gradient SHAP's noise, in pixels of [0, 1]."""
    square: int = 1
    """Side of the occluding square in patches of the model."""
    window: int | None = setting(None, "side of occlusion's square in pixels; a patch by default", SIDES)
    stride: int | None = setting(None, "its step in pixels; half its side by default", SIDES)
    batch: int = 16
    """Images per pass; bounds memory and changes no definition."""

    def __post_init__(self) -> None:
        counts = (
            self.steps,
            self.samples,
            self.square,
            self.batch,
            *(n for n in (self.window, self.stride) if n is not None),
        )
        if min(counts) < 1 or not 0 <= self.noise <= 1:
            raise ExplorerError(
                "Steps, samples, square, window, stride and batch of at least 1 and noise in [0, 1] were expected; "
                f"{self} came."
            )
        if not 0 <= self.seed < 2**63:  # what torch and numpy both take
            raise ExplorerError(f"A seed from 0 to 2^63 - 1 was expected; {self.seed} came.")
        check(self)
