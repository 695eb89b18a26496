"""Controls of the attribution page, and what each method is."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.ui.shell import choices

ABOUT = {
    Method.SALIENCY: "largest magnitude of the logit's gradient over colour channels; never negative",
    Method.INPUT_X_GRADIENT: "pixel times gradient of the logit, summed over colour channels, pixels in [0, 1]",
    Method.INTEGRATED_GRADIENTS: "gradients along the straight line from the baseline, times the way; the sum over all "
    "pixels is the logit's rise, up to the convergence delta",
    Method.GRADIENT_SHAP: "expected gradients between the image, with noise of standard deviation "
    f"{AttributionSettings().noise:g} of the pixels' range, and four baselines (mean colour, black, white, blurred)",
    Method.OCCLUSION: "fall of the logit when a sliding square is replaced by the baseline, averaged where squares "
    "overlap",
    Method.FEATURE_ABLATION: "fall of the logit when one patch is replaced by the baseline",
    Method.GRAD_CAM: "tokens the last attention reads (of a pooled model, behind its last norm), weighted by the mean "
    "gradient; signed, without the original's ReLU",
    Method.WEIGHTED_ROLLOUT: "product over layers of I + mean over heads of ReLU(E × ∂logit/∂E), E the effective "
    "matrix; of it the row that the head reads, less that of I; never negative (Chefer et al. 2021, adapted)",
}
SHORT = {
    Method.INPUT_X_GRADIENT: "Input × Grad.",
    Method.INTEGRATED_GRADIENTS: "Integr. Grad.",
    Method.GRADIENT_SHAP: "Grad. SHAP",
    Method.FEATURE_ABLATION: "Ablation",
    Method.WEIGHTED_ROLLOUT: "Rollout",
}


def choose_settings(method: Method) -> AttributionSettings:
    """The settings that matter to the method, beside one another."""
    settings, about = AttributionSettings(), f"**{method.label}**: {ABOUT[method]}."
    if not method.takes_baseline and method is not Method.GRADIENT_SHAP:
        st.caption(about)
        return settings
    first, second, third = st.columns([2, 2, 2], gap="medium")
    if method.takes_baseline:
        with first:
            baseline = choices.select(
                "Baseline",
                Baseline.MEAN,
                key="attribution-baseline",
                help="The picture that stands for nothing: the models' normalisation mean, black, white, or the image "
                "under a Gaussian of a sixteenth of its side. Another baseline asks another question.",
            )
        settings = replace(settings, baseline=baseline)
    if method is Method.INTEGRATED_GRADIENTS:
        steps = second.slider("Steps", 10, 200, 50, 10, key="attribution-steps", persist_state="session")
        settings = replace(settings, steps=steps)
    if method is Method.OCCLUSION:
        side = second.segmented_control(
            "Square, patches",
            [1, 2, 3],
            default=1,
            key="attribution-window",
            required=True,
            persist_state="session",
            help="Side of the square in each model's own patches; it moves by half of it.",
        )
        settings = replace(settings, square=int(side or 1))
    if method is Method.GRADIENT_SHAP:
        samples = first.slider("Samples", 4, 64, 16, 4, key="attribution-samples", persist_state="session")
        seed = second.number_input("Seed", 0, 9999, 0, key="attribution-seed", persist_state="session")
        settings = replace(settings, samples=samples, seed=int(seed))
    third.caption(about)
    return settings
