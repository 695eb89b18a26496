"""Records that travel, and what is made of them: keys and files do not change with how a choice is held."""

import json
from dataclasses import asdict, replace

from explorer.training.recipe import Augmentation
from explorer.types import CropMode, Interpolation, ModelCard, Preprocessing
from tests.helpers import quadratics

CARD = ModelCard(
    name="Tiny",
    architecture="vit",
    filter=quadratics(1.0, 2.0),
    trained_filter=quadratics(1.0, 2.0),
    classes=("cat",),
    wnids=("n1",),
    outputs=1,
    preprocessing=Preprocessing((32, 32), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), source_size=(16, 16)),
    recipe="none",
    data="none",
    top1=None,
    git_revision="abc",
    digest="0" * 64,
)


def test_the_key_is_that_of_the_spelling() -> None:
    """Worked out when both were plain text."""
    assert CARD.key == "0000000000000000:9df35c505ae10433"
    squashed = replace(CARD.preprocessing, interpolation=Interpolation.BILINEAR, crop_mode=CropMode.SQUASH)
    assert repr(squashed).endswith("source_size=(16, 16), interpolation='bilinear', crop_mode='squash')")


def test_files_hold_the_spelling() -> None:
    assert json.dumps(asdict(CARD.preprocessing)).endswith('"interpolation": "bicubic", "crop_mode": "center"}')
    assert repr(Augmentation()).endswith("interpolation='bilinear')")
    assert f"{CropMode.CENTER} crop" == "center crop"
