"""A checkpoint loads strictly or not at all, and says in one sentence why not."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.models import checkpoints, registry
from explorer.models.classes import class_name
from explorer.models.twicing import get_filter
from explorer.types import ExplorerError, ModelCard, Preprocessing
from tests.helpers import CLASSES, assert_one_sentence, quadratics

MakeModel = Callable[..., VisionTransformer]
Declared = dict[str, Any]
State = dict[str, Tensor]

KEY = "blocks.1.attn.qkv.weight"


def write(path: Path, state: State, metadata: dict[str, str] | None) -> Path:
    save_file(state, path, metadata)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ExplorerError) as caught:
        checkpoints.load(path)
    assert_one_sentence(str(caught.value))
    assert path.name in str(caught.value)
    return str(caught.value)


def remove(state: State) -> None:
    del state[KEY]


def add(state: State) -> None:
    state["blocks.9.extra"] = torch.zeros(2)


def reshape(state: State) -> None:
    state[KEY] = state[KEY].T.contiguous()


def make_integer(state: State) -> None:
    state[KEY] = state[KEY].to(torch.int32)


def make_nan(state: State) -> None:
    state[KEY][3, 2] = float("nan")


def make_infinite(state: State) -> None:
    state[KEY][0, 0] = float("inf")


def test_weights_come_back_rounded_to_half_precision(checkpoint: Path, make_model: MakeModel) -> None:
    loaded = checkpoints.load(checkpoint).module.state_dict()
    for key, value in make_model().state_dict().items():
        assert torch.equal(loaded[key], value.half().float()), key


def test_metadata_comes_back(checkpoint: Path, tiny: str, preprocessing: Preprocessing) -> None:
    card = checkpoints.load(checkpoint).card
    assert (card.name, card.architecture, card.recipe, card.data, card.git_revision) == (
        "Tiny-Twicing",
        tiny,
        "none",
        "random",
        "abc",
    )
    assert card.filter == card.trained_filter == quadratics(1.0, 2.0)
    assert card.classes == CLASSES
    assert card.wnids == ("n0", "n1", "n2", "n3", "n4")
    assert card.preprocessing == preprocessing
    assert card.top1 == 12.5


def test_optional_metadata_may_be_absent_values(tmp_path: Path, make_model: MakeModel, declared: Declared) -> None:
    declared["top1"] = None
    declared["preprocessing"]["source_size"] = [16, 16]
    checkpoints.save(tmp_path / "x.safetensors", make_model().state_dict(), declared)
    card = checkpoints.load(tmp_path / "x.safetensors").card
    assert card.top1 is None
    assert card.preprocessing.source_size == (16, 16)


def test_the_digest_is_that_of_the_file(checkpoint: Path) -> None:
    assert checkpoints.load(checkpoint).card.digest == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_a_loaded_model_is_ready_to_be_traced(checkpoint: Path) -> None:
    module = checkpoints.load(checkpoint).module
    assert not module.training
    assert get_filter(module) == quadratics(1.0, 2.0)
    assert not any(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize(
    ("spoil", "named", "why"),
    [
        (remove, KEY, "missing"),
        (add, "blocks.9.extra", "unexpected"),
        (reshape, KEY, r"mis-shaped.*\[96, 32\].*\[32, 96\]"),
        (make_integer, KEY, "not floating-point"),
        (make_nan, KEY, "not finite"),
        (make_infinite, KEY, "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_key(
    tmp_path: Path,
    make_model: MakeModel,
    declared: Declared,
    spoil: Callable[[State], None],
    named: str,
    why: str,
) -> None:
    state = make_model().state_dict()
    spoil(state)
    path = write(tmp_path / "x.safetensors", state, {checkpoints.METADATA_KEY: json.dumps(declared)})
    message = refusal(path)
    assert named in message
    with pytest.raises(ExplorerError, match=why):
        checkpoints.load(path)


@pytest.mark.parametrize(
    ("key", "size", "where"),
    [
        ("head.weight", 1e37, "logits"),
        ("head.weight", 1e25, "logits"),  # are finite, and their squares are not
        ("blocks.0.mlp.fc2.bias", 1e30, "tokens after block 1"),  # the last norm would hide it from the logits
        ("blocks.1.attn.qkv.weight", 1e30, "tokens after block 2"),
        ("pos_embed", 1e30, "tokens before the first block"),
    ],
)
def test_weights_with_which_a_pass_overflows_are_refused(
    tmp_path: Path, make_model: MakeModel, declared: Declared, key: str, size: float, where: str
) -> None:
    state = make_model().state_dict()
    state[key] = torch.randn(state[key].shape, generator=torch.Generator().manual_seed(0)) * size
    path = write(tmp_path / "x.safetensors", state, {checkpoints.METADATA_KEY: json.dumps(declared)})
    assert f"its {where} overflow" in refusal(path)


def test_many_wrong_keys_are_counted(tmp_path: Path, make_model: MakeModel, declared: Declared) -> None:
    state = {k: v for k, v in make_model().state_dict().items() if not k.startswith("blocks.1.")}
    checkpoints.save(tmp_path / "x.safetensors", state, declared)
    assert "and 8 more" in refusal(tmp_path / "x.safetensors")  # a block has 12 tensors


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_no_metadata_is_refused(tmp_path: Path, make_model: MakeModel, metadata: dict[str, str] | None) -> None:
    path = write(tmp_path / "x.safetensors", make_model().state_dict(), metadata)
    assert "metadata" in refusal(path)


@pytest.mark.parametrize("text", ["{", "", "[]", "3", "null", '"text"'])
def test_broken_metadata_is_refused(tmp_path: Path, make_model: MakeModel, text: str) -> None:
    refusal(write(tmp_path / "x.safetensors", make_model().state_dict(), {checkpoints.METADATA_KEY: text}))


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_off_file_is_refused(checkpoint: Path, keep: int) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    refusal(checkpoint)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    torch.save({"model": {}}, path)
    refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architecture": "resnet50"}, "resnet50"),
        ({"filter": [2.0]}, r"declares the operator \[2.0\]: .*one for each of 2 blocks was expected; 1 came"),
        ({"filter": "both"}, "declares the operator both: .*'both' came"),
        ({"filter": [1.0, None]}, r"declares the operator \[1.0, None\]: .*None came"),
        ({"filter": {"neutreno": 7}}, "neutreno takes a number α from 0 to 1; 7 came"),
        ({"wnids": ["n0"]}, "1 wnids"),
        ({"preprocessing": [1]}, "metadata"),
        ({"preprocessing": {"std": [1, 2]}}, "metadata"),
        ({"preprocessing": {"mean": [0.5, 0.5, 1e999]}}, "not finite"),
        ({"preprocessing": {"crop_mode": "border"}}, "border"),
        ({"preprocessing": {"interpolation": "nearest"}}, "nearest"),
        ({"preprocessing": {"input_size": [1e999, 3]}}, "metadata"),
        ({"top1": [1]}, "metadata"),
        ({"classes": 3}, "metadata"),
        ({"classes": "imagenet"}, "imagenet-1k was expected; 'imagenet' came"),
        ({"classes": "imagenet-1k"}, "head.bias"),
        ({"crop_pct": 0.1}, "a crop of 0.5 to 1"),
        ({"crop_pct": "most"}, "metadata"),
        ({"input_size": 40}, "input"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    tmp_path: Path, make_model: MakeModel, declared: Declared, change: Declared, named: str
) -> None:
    path = tmp_path / "x.safetensors"
    checkpoints.save(path, make_model().state_dict(), declared | change)
    with pytest.raises(ExplorerError, match=named) as caught:
        checkpoints.load(path)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("coefficient", [float("nan"), float("inf")])
def test_a_coefficient_that_is_not_finite_is_refused(
    tmp_path: Path, make_model: MakeModel, declared: Declared, coefficient: float
) -> None:
    path = tmp_path / "x.safetensors"
    checkpoints.save(path, make_model().state_dict(), declared | {"filter": [1.0, coefficient]})
    refusal(path)


@pytest.mark.parametrize("field", ["architecture", "filter"])
def test_what_weights_cannot_show_must_be_declared(
    tmp_path: Path, make_model: MakeModel, declared: Declared, field: str
) -> None:
    del declared[field]
    checkpoints.save(tmp_path / "x.safetensors", make_model().state_dict(), declared)
    assert field in refusal(tmp_path / "x.safetensors")


def test_the_rest_has_defaults_that_say_so(tmp_path: Path, make_model: MakeModel, tiny: str) -> None:
    checkpoints.save(tmp_path / "mine.safetensors", make_model().state_dict(), {"architecture": tiny, "filter": 2})
    card = checkpoints.load(tmp_path / "mine.safetensors").card
    assert (card.name, card.filter, card.top1) == ("mine", quadratics(2.0, 2.0), None)
    assert card.data == card.recipe == card.license == card.git_revision == "not declared"
    assert (card.classes, card.wnids) == ((), ())  # no variant of ImageNet has five classes
    assert card.preprocessing == Preprocessing((32, 32), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.9)


def test_a_thousand_outputs_have_imagenets_names_when_somebody_says_so(tmp_path: Path, tiny: str) -> None:
    state = registry.create(tiny, 1000, quadratics(1.0, 1.0)).state_dict()
    checkpoints.save(tmp_path / "mine.safetensors", state, declared := {"architecture": tiny, "filter": 1})
    unnamed = checkpoints.load(tmp_path / "mine.safetensors").card
    assert (unnamed.classes, unnamed.wnids, unnamed.outputs) == ((), (), 1000)
    assert class_name(unnamed, 17) == "class 17"
    assert '"classes" in their declaration' in unnamed.chance
    added = checkpoints.load(tmp_path / "mine.safetensors", answers={"classes": "imagenet-1k", "filter": 2}).card
    assert (added.classes[17], added.wnids[17], added.filter) == ("jay", "n01580077", quadratics(1.0, 1.0))
    checkpoints.save(tmp_path / "mine.safetensors", state, declared | {"classes": "imagenet-1k"})
    assert checkpoints.load(tmp_path / "mine.safetensors").card.classes == added.classes


def test_the_crop_is_timms_until_somebody_declares_it(tmp_path: Path, make_model: MakeModel, tiny: str) -> None:
    def card(**declared: object) -> ModelCard:
        checkpoints.save(tmp_path / "x.safetensors", make_model().state_dict(), declared | {"architecture": tiny})
        return checkpoints.load(
            tmp_path / "x.safetensors", answers={"crop_pct": 0.8} if "own" in declared else None
        ).card

    assert (card(filter=1).preprocessing.crop_pct, card(filter=1).declares_crop) == (0.9, False)
    assert (card(filter=1, own=1).preprocessing.crop_pct, card(filter=1, own=1).declares_crop) == (0.8, True)
    for declared in ({"crop_pct": 0.875}, {"preprocessing": {"crop_pct": 0.875}}):
        assert card(filter=1, **declared).preprocessing.crop_pct == 0.875
        assert card(filter=1, own=1, **declared).declares_crop
    assert card(filter=1, own=1, crop_pct=0.875).preprocessing.crop_pct == 0.875


def test_another_filter_shares_the_weights(checkpoint: Path) -> None:
    loaded = checkpoints.load(checkpoint)
    swapped = checkpoints.with_filter(loaded, quadratics(2.0, 2.0))
    pairs = zip(loaded.module.parameters(), swapped.module.parameters(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
    assert get_filter(swapped.module) == quadratics(2.0, 2.0)
    assert get_filter(loaded.module) == quadratics(1.0, 2.0)
    assert not swapped.module.training


def test_another_filter_is_a_counterfactual_until_switched_back(checkpoint: Path) -> None:
    loaded = checkpoints.load(checkpoint)
    swapped = checkpoints.with_filter(loaded, quadratics(1.0, 1.0))
    assert not loaded.card.is_counterfactual
    assert swapped.card.is_counterfactual
    assert swapped.card.is_standard
    back = checkpoints.with_filter(swapped, quadratics(1.0, 2.0))
    assert not back.card.is_counterfactual
    assert back.card.key == loaded.card.key != swapped.card.key


def test_another_filter_computes_as_if_created_so(checkpoint: Path, images: Tensor, make_model: MakeModel) -> None:
    loaded = checkpoints.load(checkpoint)
    fresh = make_model(quadratics(1.5, 1.0))
    fresh.load_state_dict(loaded.module.state_dict())
    with torch.no_grad():
        assert torch.equal(checkpoints.with_filter(loaded, quadratics(1.5, 1.0)).module(images), fresh(images))


def test_another_filter_of_the_wrong_length_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ExplorerError, match="2 blocks; 1 came"):
        checkpoints.with_filter(checkpoints.load(checkpoint), quadratics(2.0))


def test_filters_that_differ_have_different_keys(checkpoint: Path) -> None:
    """The key is the identity of what is computed: caches are filed under it."""
    card = checkpoints.load(checkpoint).card
    assert card.with_filter(quadratics(1.0, 1.5)).key != card.with_filter(quadratics(1.0, 1.5 + 1e-7)).key


def test_a_failing_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel, declared: Declared
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ExplorerError, match="No space left"):
        checkpoints.save(tmp_path / "x.safetensors", make_model().state_dict(), declared)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_keeps_the_old_file(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel, declared: Declared
) -> None:
    before = checkpoint.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ExplorerError, match="No space left"):
        checkpoints.save(checkpoint, make_model(seed=5).state_dict(), declared)
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    assert checkpoint.read_bytes() == before
