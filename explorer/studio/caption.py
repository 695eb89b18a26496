r"""A caption in LaTeX that says what is seen, by which definition, of which images and weights, and whom to cite."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.studio.content import Content
from explorer.studio.latex import escape
from explorer.studio.record import Record
from explorer.types import ModelCard
from explorer.version import VERSION

BIBTEX = f"""@inproceedings{{abdullaev2025twicing,
  title     = {{Transformer Meets Twicing: Harnessing Unattended Residual Information}},
  author    = {{Abdullaev, Laziz U. and Nguyen, Tan M.}},
  booktitle = {{International Conference on Learning Representations}},
  year      = {{2025}},
  note      = {{arXiv:2503.00687}},
}}

@software{{twicingexplorer,
  title   = {{Twicing Explorer}},
  author  = {{{{The Twicing Explorer authors}}}},
  version = {{{VERSION}}},
}}
"""


def caption(content: Content, record: Record, cards: Sequence[ModelCard], names: Sequence[str]) -> str:
    """The caption. What it says of heads, layers and scale is what was drawn."""
    template = record.spec.template
    sentences = [*template.caption(record.spec, content), *_models(cards, names)]
    sentences += dict.fromkeys(escape(change) for card in cards for change in card.changes)
    if template.is_heatmap:
        sentences.append("A heatmap is not an attribution.")
    sentences.append(
        rf"Twicing Attention: \citet{{abdullaev2025twicing}}; made with Twicing Explorer {VERSION} "
        r"\citep{twicingexplorer}."
    )
    return "\\caption{%\n  " + "\n  ".join(sentences) + "\n}\n"


def _models(cards: Sequence[ModelCard], names: Sequence[str]) -> list[str]:
    sentences = []
    for card, name in zip(cards, names, strict=True):
        sentences.append(f"{escape(name)}: {escape(card.title)} ({escape(card.source)}, SHA-256 {card.digest[:12]}).")
        if card.is_counterfactual:
            sentences.append(
                f"{escape(name)} is a counterfactual: its weights were trained with another operator than "
                f"{escape(card.operator)}."
            )
    return sentences
