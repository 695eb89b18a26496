"""The models, views and labelled images of the tests of attacks."""

from tests.disturb.conftest import labelled, pair, views

__all__ = ["labelled", "pair", "views"]
