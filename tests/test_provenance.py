"""How models, images and versions are told: one way, which files of earlier versions are read as well."""

from importlib.metadata import version
from pathlib import Path

import pytest

from explorer import provenance
from explorer.models import LoadedModel, checkpoints, with_filter
from explorer.version import VERSION
from tests.helpers import quadratics


def test_a_model_is_told_by_name_source_digest_and_filter(loaded: LoadedModel) -> None:
    card = loaded.card
    swapped = with_filter(loaded, quadratics(2.0) * len(card.filter)).card
    first, second = provenance.of_pair([card, swapped]).values()
    assert first == {"name": card.name, "source": card.source, "sha256": card.digest, "filter": [1.0, 2.0]}
    assert second["sha256"] == first["sha256"]
    assert second["filter"] == [2.0] * len(card.filter)
    assert second["name"] == swapped.title
    assert list(provenance.of_pair([card, swapped])) == ["baseline", "twicing"]


def test_an_input_of_another_size_is_told(checkpoint: Path) -> None:
    card = checkpoints.load(checkpoint, input_size=48).card
    model = provenance.of_model(card)
    assert (model["input_size"], model["changes"]) == ([48, 48], list(card.changes))


def test_what_earlier_versions_wrote_is_read() -> None:
    assert provenance.sha256_of({"sha256": "a"}) == provenance.sha256_of({"digest": "a"}) == "a"
    with pytest.raises(KeyError):
        provenance.sha256_of({})


def test_versions_are_those_installed() -> None:
    assert provenance.versions(["torch"]) == {"explorer": VERSION, "torch": version("torch")}
    assert list(provenance.versions()) == ["explorer", *provenance.LIBRARIES]
    assert provenance.of_image("a.png", "f0") == {"name": "a.png", "sha256": "f0"}
