"""What is loaded and from where; loading from the server's folders and from timm's hub, unloading."""

import streamlit as st

from explorer.models import LoadedModel, checkpoints, hub, sources, with_quicker_layers
from explorer.types import ExplorerError
from explorer.ui.models import panel
from explorer.ui.shell import pair, panels, resources
from explorer.ui.shell.session import plain

engine = resources.engine()
panels.opening(
    "Models",
    "What each model is and who says so. Twicing adds no parameters, so weights do not show which operator they "
    "trained with: look for **Operator**, and for who declares it. Another one can be tried "
    "on any weights, beside the choice of models: a counterfactual.",
)
locked = panel.is_locked()


def welcome(model: LoadedModel) -> None:
    card = engine.add(with_quicker_layers(model))
    pair.want(card)
    st.toast(f"{plain(card.name)} is loaded and chosen.")
    st.rerun()


for start in range(0, len(engine.cards), 2):
    for column, card in zip(st.columns(2, gap="medium"), engine.cards[start : start + 2], strict=False):
        with column.container(border=True):
            st.markdown(f"**{plain(card.name, 90)}**")
            st.html(panels.definitions(panel.facts(card, engine.size(card.key))))
            if not locked:
                with st.popover("Unload"):
                    st.caption("Nobody here can choose it then; what is being computed with it comes to its end.")
                    st.button("Unload for everybody", key=f"unload-{card.key}", on_click=panel.unload, args=(card.key,))
            if refused := panel.refusal(card.key):
                st.error(plain(refused, 600))

st.subheader("Load another", anchor=False)
if locked:
    st.caption(f"The models of this server are fixed; whoever runs it can change that with `{panel.LOCKED_VARIABLE}`.")
    st.stop()
st.caption("Everybody who visits this server sees the same models.")
from_folder, from_hub = st.tabs(["From the server's folders", "From timm's hub"])
with from_folder, panels.refusals():
    files = sources.files()
    label = st.selectbox(
        "File",
        list(files),
        index=None,
        placeholder=f"{len(files)} file{'s' * (len(files) != 1)} there",
        help=f"Weights in checkpoints/ and in the folders that {sources.VARIABLE} names: "
        ".safetensors, or .pth, .pt, .bin and .ckpt of torch. Nothing in a file is executed.",
    )
    if label is not None:
        inspection = panel.inspected(files[label])
        which = st.segmented_control(
            "Weights", inspection.sets, default=inspection.sets[0], required=True, key=f"set-{label}"
        )
        answers = {} if inspection.is_declared else panel.questions(inspection, label)
        architecture = answers.get("architecture", inspection.architecture)
        size = panel.input_size(f"{label}-{architecture}", panel.suggested_size(inspection, architecture))
        answers |= panel.additions(inspection, architecture, label)
        if st.button("Load", key="load-file", type="primary"):
            with st.spinner("Loading …"):
                model = checkpoints.load(files[label], engine.device, answers=answers, which=which, input_size=size)
            welcome(model)
with from_hub:
    name = st.selectbox(
        "Name in timm",
        hub.offered(),
        index=None,
        placeholder="deit_tiny_patch16_224.fb_in1k",
        help="Downloaded once into the cache of the Hugging Face hub. Models there are standard: the second panel then "
        "shows the same weights with the operator swapped, which is a counterfactual.",
    )
    size = None if name is None else panel.input_size(name)
    if name is not None and st.button("Load", key="load-hub", type="primary"):
        bar = st.progress(0.0, "Asking the hub …")
        try:
            model = hub.load(name, engine.device, lambda done, total: panels.download(bar, done, total), size)
        except ExplorerError as error:
            st.error(plain(str(error), 600))
        else:
            welcome(model)
        finally:
            bar.empty()
