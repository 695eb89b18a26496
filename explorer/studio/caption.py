r"""A caption in LaTeX that says what is seen, by which definition, of which images and weights, and whom to cite."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.paper import operators
from explorer.paper.kernels import KERNELS
from explorer.studio.content import Content
from explorer.studio.latex import escape, polynomial
from explorer.studio.record import Record
from explorer.types import ModelCard, Operator
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
        if others := [each for each in dict.fromkeys(card.filter) if not each.is_quadratic]:
            sentences.append(_operators(name, others))
    return sentences


def _operators(name: str, others: Sequence[Operator]) -> str:
    """What operators beside the quadratic ones apply, of which the templates' captions speak."""
    applied = []
    for each in others:
        own, of_first = (polynomial(str(part)) for part in operators.polynomials(each, 1))
        kernel = f", $A$ of {KERNELS[each.kernel].title.lower()} attention" if each.kernel != "softmax" else ""
        first = f", $E_0 = {of_first}$ to the first block's" if of_first != "0" else ""
        applied.append(rf"\texttt{{{escape(str(each))}}} $E = {own}$ to a block's own values{first}{kernel}")
    said = f"{escape(name)} applies by {'; by '.join(applied)}."
    if operators.needs_first_values(others):
        said += r" Its rollout is $R^0 = I$, $R^l = ((E_l + I) R^{l-1} + E_{0,l})/2$, of means over heads."
    return said
