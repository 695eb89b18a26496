"""Options made of records: each setting has one, and what is not given is the record's own default."""

import argparse
from typing import Any

import pytest

from explorer.attribution.result import AttributionSettings, Baseline
from explorer.cli.options import declare, given
from explorer.disturb.settings import Attack, Kind
from explorer.measures.attention import Matrix
from explorer.measures.similarity import Definition
from explorer.settings import settings_of
from explorer.studio import Spec
from explorer.training.augment import Augmentation
from explorer.training.recipe import Recipe
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

RECORDS = [Spec, AttributionSettings, Attack, Definition, Recipe, Augmentation]


def parser(record: type) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    declare(made, record)
    return made


def read(record: type, *words: str) -> dict[str, Any]:
    return given(parser(record).parse_args(words), record)


@pytest.mark.parametrize("record", RECORDS)
def test_every_setting_has_an_option_with_its_help_and_default(record: type) -> None:
    text = " ".join(parser(record).format_help().split())
    for setting in settings_of(record):
        assert f"--{setting.metadata['flag'] or setting.name.replace('_', '-')}" in text
        first = setting.metadata["help"].split()[0]
        assert first in text
        if isinstance(setting.default, int | float) and not isinstance(setting.default, bool):
            assert f"({setting.default:g})" in text


@pytest.mark.parametrize("record", RECORDS)
def test_what_is_not_given_is_left_to_the_record(record: type) -> None:
    assert read(record) == {}


def test_values_are_typed() -> None:
    words = ["--layers", "1,4-6", "--matrix", "a-a2", "--no-smooth", "--labels=-x"]
    assert read(Spec, *words, "--width", "4", "--dpi", "72", "--font", "12") == {
        "layers": (1, 4, 5, 6),
        "matrix": Matrix.CORRECTION,
        "smooth": False,
        "labels": ("-x",),
        "width": 4.0,
        "dpi": 72,
        "font": "12",
    }
    assert read(Attack, "--attack", "PGD", "--steps", "3", "--random-start") == {
        "kind": Kind.PGD,
        "steps": 3,
        "random_start": True,
    }
    assert read(AttributionSettings, "--baseline-picture", "mean colour") == {"baseline": Baseline.MEAN}
    assert read(Definition, "--with-cls") == {"with_prefix": True}
    assert read(Recipe, "--ema", "0.9", "--lr", "1e-3") == {"ema_decay": 0.9, "lr": 1e-3}


@pytest.mark.parametrize(
    ("record", "words", "named"),
    [
        (Recipe, ["--lr", "fast"], "lr: a number was expected; 'fast' came."),
        (Recipe, ["--batch-size", "3.5"], "batch_size: a whole number was expected; '3.5' came."),
        (Recipe, ["--ema", "x"], "ema: a number"),
        (Attack, ["--attack", "cw"], "attack: one of fgsm, pgd was expected; 'cw' came."),
        (AttributionSettings, ["--window", "wide"], "window: a whole number"),
        (Spec, ["--layers", "6-1"], "layers: numbers such as"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(record: type, words: list[str], named: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        read(record, *words)
    assert_one_sentence(str(caught.value))
    assert named in str(caught.value)
