"""The models, views and labelled images of the tests of attacks."""

from tests.disturb.conftest import labelled, loaded, pair, views

__all__ = ["labelled", "loaded", "pair", "views"]
