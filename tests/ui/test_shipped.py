"""The app on the pair that ships: tests of its pages again, whose expectations are read off whichever pair opens."""

from functools import cache

import pytest
from streamlit.testing.v1 import AppTest

from explorer.models import sources
from explorer.ui.shell import resources
from tests.pair import facts
from tests.ui import test_challenge_pages, test_lessons, test_models_page, test_pages, test_studio_page
from tests.ui.conftest import Open

pytestmark = pytest.mark.usefixtures("shipped")

test_a_page_opens = test_pages.test_a_page_opens_with_its_heading_and_a_sentence
test_both_models_are_chosen_as_trained = test_pages.test_both_models_are_chosen_as_trained
test_the_models_are_described = test_pages.test_the_models_are_described
test_the_viewer_is_sent_both_models = test_pages.test_the_viewer_is_sent_both_models
test_the_viewer_is_sent_the_query_at_rest = test_pages.test_the_viewer_is_sent_the_query_at_rest
test_the_layers_are_had = test_pages.test_the_layers_are_had_under_the_address_of_the_session
test_a_photograph_of_no_known_class_says_so = test_pages.test_a_photograph_of_no_known_class_says_so
test_the_residuals_curve_is_the_definition = test_pages.test_the_residuals_curve_is_the_definition
test_its_own_eigenvalues_are_counted = test_lessons.test_the_models_own_eigenvalues_are_counted
test_the_dial_changes_only_the_blocks_chosen = test_lessons.test_the_dial_changes_only_the_blocks_chosen
test_the_tours_words_hold = test_lessons.test_the_tours_words_hold_for_the_pair_that_opens


@pytest.fixture(scope="module")
def opened(shipped: None, open_app: Open) -> Open:
    """A page as a new visitor finds it, opened once on this pair."""
    return cache(open_app)


def test_the_app_opens_on_it(opened: Open) -> None:
    test_pages.assert_sound(opened())
    first, second, *_ = resources.engine().cards
    assert (first.source, second.source) == sources.labels()
    assert (first.digest, second.digest) == tuple(card.digest for card in facts().cards)


def test_everything_known_of_it_is_said(app: AppTest) -> None:
    test_models_page.test_everything_known_of_the_models_is_said(app.switch_page("models/models.py").run())


def test_what_was_measured_stands_beside_the_papers_numbers(app: AppTest) -> None:
    app.switch_page("challenge/attacks.py").run()
    test_challenge_pages.assert_measured_beside_the_papers(app, (200, 40))


def test_the_tour_opens_on_it() -> None:
    models = test_pages.header(test_lessons.open_lesson("tour"))["models"]
    assert [model["name"] for model in models] == [card.name for card in facts().cards]


def test_the_studio_opens_on_it(open_app: Open) -> None:
    test_studio_page.visit(open_app)
