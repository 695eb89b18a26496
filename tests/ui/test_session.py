"""Words for people: names of operators and models, and other people's text made harmless."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from explorer.types import DIFFERENTIAL, Filter, ModelCard, Preprocessing
from explorer.ui.shell import pair, session
from tests.helpers import plain_text, quadratics

HOSTILE = (
    "![x](http://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "**bold** _italic_ `code` ~struck~",
    "# heading",
    "1. list",
    "- list",
    "> quote",
    "a | b",
    "$x^2$ :material/home: :red[red]",
    "&lt;b&gt;",
    "\\*not escaped\\*",
    "https://evil.example",
    "www.evil.example",
    "somebody@evil.example",
)


def card(filter: Filter, trained: Filter | None = None) -> ModelCard:
    return ModelCard(
        name="Tiny",
        architecture="tiny",
        filter=filter,
        trained_filter=trained or filter,
        classes=("cat",),
        wnids=("n0",),
        outputs=1,
        preprocessing=Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3),
        recipe="none",
        data="random",
        top1=None,
        git_revision="abc",
        digest="0" * 64,
    )


# --- plain: text for Markdown -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_every_mark_of_markdown_is_escaped(text: str) -> None:
    without_escapes = re.sub(r"\\[!-/:-@\[-`{-~]", "", session.plain(text))
    assert not re.search(r"[\\`*_{}\[\]()<>#+\-.!|~$:&]", without_escapes)


@pytest.mark.parametrize("text", HOSTILE)
def test_people_read_what_was_written(text: str) -> None:
    assert plain_text(session.plain(text)) == text


@pytest.mark.parametrize("address", ["https://evil.example", "www.evil.example", "somebody@evil.example"])
def test_an_address_does_not_become_a_link(address: str) -> None:
    """GitHub's Markdown links bare addresses, escaped or not; nothing of one may stay in one piece."""
    shown = re.sub(r"\\(.)", r"\1", session.plain(address))
    assert not re.search(r"://|www\.\w|@\w|\w\.\w", shown)


def test_control_characters_are_left_out() -> None:
    assert session.plain("a\nb\tc\x00\x1b\u202e\u200bd") == "abcd"


def test_long_text_is_cut() -> None:
    assert plain_text(session.plain("a" * 100, 10)) == "a" * 9 + "…"
    assert session.plain("a" * 10, 10) == "a" * 10


def test_cutting_never_splits_an_escape() -> None:
    for length in range(1, 12):
        assert not re.search(r"(?<!\\)(\\\\)*\\$", session.plain("*" * 20, length).removesuffix("…"))


# --- escaped: text for HTML ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_html_holds_the_text_and_no_tag(text: str) -> None:
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(tag)  # type: ignore[method-assign]
    parser.feed(session.escaped(text))
    assert found == []
    assert html.unescape(session.escaped(text)) == text


def test_html_cannot_leave_an_attribute() -> None:
    assert not re.search("[\"'<>]", session.escaped("\" onload='x' <b>"))


def test_html_is_cut_before_it_is_escaped() -> None:
    assert session.escaped("<<<<", 2) == "&lt;&lt;"


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "label"),
    [
        ((1.0, 1.0, 1.0), "A"),
        ((2.0, 2.0, 2.0), "2A − A²"),
        ((1.0, 2.0, 2.0), "2A − A² in blocks 2, 3"),
        ((1.5, 1.5, 1.5), "aA + (1 − a)A²"),
        ((1.5, 1.0, 1.0), "aA + (1 − a)A²"),
    ],
)
def test_a_filter_in_symbols(filter: tuple[float, ...], label: str) -> None:
    assert card(quadratics(*filter)).operator == label


def test_a_trained_model_has_its_own_name() -> None:
    assert card(quadratics(2.0, 2.0)).title == "Tiny"


def test_two_models_of_one_title_are_told_apart() -> None:
    one = card(quadratics(2.0, 2.0))
    photo = session.Photo(name="name", title="title", read=bytes, key="key", digest="digest")
    for other, names in ((one, ("Tiny (baseline)", "Tiny (twicing)")), (replace(one, name="Small"), ("Tiny", "Small"))):
        assert session.View(photo, [photo], session.Pair(one, other), session.Pair(one, other)).names == names


def test_a_partner_comes_from_the_same_run() -> None:
    def trained(run: str, filter: Filter) -> ModelCard:
        variant = "standard" if filter == quadratics(1.0, 1.0) else "twicing"
        return replace(card(filter), source=f"checkpoints/{run}-{variant}.safetensors", digest=run)

    first, second = (
        [trained(run, filter) for filter in (quadratics(1.0, 1.0), quadratics(2.0, 2.0))] for run in ("seed0", "seed1")
    )
    for model, other in (second, second[::-1], first):
        assert pair.partner(model, [*first, *second]) == other
    assert pair.partner(second[0], [*first, second[0]]) == first[1]  # none of its own run is there


def test_a_swap_is_part_of_the_name() -> None:
    swapped = card(quadratics(2.0, 2.0), trained=quadratics(1.0, 1.0)).title
    assert swapped == "Tiny, operator swapped to 2A − A²"


def test_differential_attention_is_the_partner_of_a_standard_model_of_its_body() -> None:
    standard = replace(card(quadratics(1.0, 1.0)), architecture="vit_wee")
    differential = replace(card((DIFFERENTIAL,) * 2), architecture="vit_dwee")
    deeper, twicing = card(quadratics(1.0, 1.0, 1.0)), replace(card(quadratics(2.0, 2.0)), architecture="vit_wee")
    cards = [deeper, standard, differential]
    assert pair.partner(differential, cards) == standard
    assert pair.partner(standard, cards) == differential
    assert pair.partner(standard, [*cards, twicing]) == twicing  # of the same architecture
