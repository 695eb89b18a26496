"""Text and numbers as LaTeX takes them."""

from __future__ import annotations

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
