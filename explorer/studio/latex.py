"""Text and numbers as LaTeX takes them."""

from __future__ import annotations

import re

from explorer.figures.print.text import printable

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "²": "$^2$",
    "−": "$-$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
    "≠": r"$\neq$",
}


def escape(text: str) -> str:
    """Text that is not ours, taken literally by LaTeX."""
    return "".join(_ESCAPES.get(c, c) for c in printable(text))


_EXPONENTS = str.maketrans({"−": "-", **{digit: f"^{n}" for n, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}})


def polynomial(symbols: str) -> str:
    """What `paper.filters.Polynomial` says of itself, for LaTeX's mathematics."""
    return symbols.translate(_EXPONENTS)


def number(value: float) -> str:
    """Three significant digits, for LaTeX's mathematics."""
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵏˡᵀ", ("0", "1", *"23456789-k", r"\ell", r"\top "), strict=True))
_LOWERED = dict(zip("₁₂ᵢ", "12i", strict=True))
_NAMED = {"−": "-", "√d": r"\sqrt{d}", "φ": r"\varphi ", "α": r"\alpha ", "λ": r"\lambda "}


def equation(text: str) -> str:
    """An equation of the registries of operators for LaTeX's mathematics, and KaTeX's; words in it stay words."""
    text = re.sub(r" ?([a-z]{3,}(?: [a-z]+)*)", lambda words: rf"\text{{{words[0]}}}", text)
    text = re.sub(f"[{''.join(_RAISED)}]+", lambda raised: f"^{{{''.join(_RAISED[c] for c in raised[0])}}}", text)
    text = re.sub(f"[{''.join(_LOWERED)}]", lambda lowered: f"_{{{_LOWERED[lowered[0]]}}}", text)
    for symbol, name in _NAMED.items():
        text = text.replace(symbol, name)
    return text
