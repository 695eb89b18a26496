"""Controls of the attribution page, and its maps and numbers: made once, remembered, for both models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.attribution import trust as trusting
from explorer.attribution.result import Attribution, Baseline, Method, Settings
from explorer.attribution.trust import Trust
from explorer.models import LoadedModel
from explorer.pictures import preprocess
from explorer.types import ModelCard, Progress
from explorer.ui import resources, work
from explorer.ui.classes import Targets
from explorer.ui.session import View

ABOUT = {
    Method.SALIENCY: "largest magnitude of the logit's gradient over colour channels; never negative",
    Method.INPUT_X_GRADIENT: "pixel times gradient of the logit, summed over colour channels, pixels in [0, 1]",
    Method.INTEGRATED_GRADIENTS: "gradients along the straight line from the baseline, times the way; the sum over all "
    "pixels is the logit's rise, up to the convergence delta",
    Method.GRADIENT_SHAP: "expected gradients between the noisy image and four baselines (mean colour, black, white, "
    "blurred)",
    Method.OCCLUSION: "fall of the logit when a sliding square is replaced by the baseline, averaged where squares "
    "overlap",
    Method.FEATURE_ABLATION: "fall of the logit when one patch is replaced by the baseline",
    Method.GRAD_CAM: "tokens the last attention reads (of a pooled model, behind its last norm), weighted by the mean "
    "gradient; signed, without the original's ReLU",
    Method.WEIGHTED_ROLLOUT: "product over layers of the effective attention where its gradient agrees; never negative",
}
SHORT = {
    Method.INPUT_X_GRADIENT: "Input × Grad.",
    Method.INTEGRATED_GRADIENTS: "Integr. Grad.",
    Method.GRADIENT_SHAP: "Grad. SHAP",
    Method.FEATURE_ABLATION: "Ablation",
    Method.WEIGHTED_ROLLOUT: "Rollout",
}


def choose_settings(method: Method) -> Settings:
    """The settings that matter to the method, beside one another."""
    settings = Settings()
    first, second, third = st.columns([2, 2, 2], gap="medium")
    if method.takes_baseline:
        with first:
            baseline = st.selectbox(
                "Baseline",
                list(Baseline),
                key="attribution-baseline",
                persist_state="session",
                help="The picture that stands for nothing: the models' normalisation mean, black, white, or the image "
                "under a Gaussian of a sixteenth of its side. Another baseline asks another question.",
            )
        settings = replace(settings, baseline=Baseline(str(baseline)))
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
    third.caption(f"**{method}**: {ABOUT[method]}.")
    return settings


def key(view: View, index: int, method: Method, target: int, settings: Settings) -> work.Key:
    """Everything a map depends on."""
    return "attribution", view.photo.digest, view.pair.cards[index].key, method, target, settings


def pixels(view: View, card: ModelCard) -> np.ndarray:
    """What a model sees of the photograph."""
    return preprocess.model_view(view.photo.image.rgb, card.preprocessing)


def maps(
    view: View, method: Method, targets: Targets, settings: Settings, progress: Progress
) -> tuple[Attribution, Attribution]:
    """Both models' maps."""
    tell = work.parts(progress, 2)
    first, second = (_map(view, index, method, targets[index], settings, tell(index)) for index in (0, 1))
    return first, second


def _map(view: View, index: int, method: Method, target: int, settings: Settings, progress: Progress) -> Attribution:
    card = view.pair.cards[index]
    seen = pixels(view, card)

    def task(model: LoadedModel, tell: Progress) -> Attribution:
        from explorer.attribution.methods import attribute

        return attribute(model, seen, method, target, settings, tell)

    return work.remembered(
        key(view, index, method, target, settings),
        lambda: resources.engine().run(card.key, task, progress),
        lambda found: 4 * found.values.numel() + 512,
    )


def within(values: np.ndarray) -> np.ndarray:
    """Values up to the 99th percentile of their magnitudes, where a few pixels would make the others invisible."""
    end = float(np.quantile(np.abs(values), 0.99))
    return values.clip(-end, end) if end else values


def are_kept(view: View, method: Method, targets: Targets, settings: Settings) -> bool:
    """Whether both maps are remembered."""
    return all(work.kept(key(view, i, method, targets[i], settings)) is not None for i in (0, 1))


def trust_key(view: View, index: int, attribution: Attribution) -> work.Key:
    return "trust", *key(view, index, attribution.method, attribution.target, attribution.settings)


def trust(view: View, found: Sequence[Attribution], progress: Progress) -> tuple[Trust, Trust]:
    """Of both models' maps."""
    tell = work.parts(progress, 2)
    first, second = (
        work.remembered(trust_key(view, i, found[i]), lambda i=i: _trust(view, i, found[i], tell(i)), 4096)  # type: ignore[misc]
        for i in (0, 1)
    )
    return first, second


def _trust(view: View, index: int, found: Attribution, progress: Progress) -> Trust:
    card = view.pair.cards[index]
    tasks = trusting.tasks(pixels(view, card), found)
    part = work.parts(progress, len(tasks))
    run = resources.engine().run
    return Trust(**{name: run(card.key, task, part(i)) for i, (name, task) in enumerate(tasks.items())})


def every_method(view: View, targets: Targets, chosen: Attribution, progress: Progress) -> None:
    """Makes the maps of all methods that are not there yet, with their default settings but for the chosen one's."""
    missing = list(Method)
    tell = work.parts(progress, len(missing))
    for index, method in enumerate(missing):
        maps(view, method, targets, settings_of(method, chosen), tell(index))


def settings_of(method: Method, chosen: Attribution) -> Settings:
    """The chosen settings for the chosen method, else the default ones."""
    return chosen.settings if method is chosen.method else Settings()


def table(view: View, targets: Targets, chosen: Attribution) -> tuple[list[Method], list[np.ndarray], np.ndarray]:
    """The methods there are maps of, their rank correlations within each model, and between the models."""
    methods = [method for method in Method if are_kept(view, method, targets, settings_of(method, chosen))]
    found: list[list[Attribution]] = [
        [work.kept(key(view, i, method, targets[i], settings_of(method, chosen))) for method in methods] for i in (0, 1)
    ]
    within, between = trusting.agreement(found)
    return methods, within, between
