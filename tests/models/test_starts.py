"""A start keeps who made it and what was done to it; it is read strictly, and not written where a check fails."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from explorer.models import checkpoints, folding, starts
from explorer.models.weights import METADATA_KEY
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, normal
from tests.models.dinov2_files import WIDTH, Exporter, State, hugging_face, timm_names, tokens_of

ORIGIN, LICENSE = "Random numbers, by nobody", "body: MIT; head: Apache-2.0"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Exporter(hugging_face()).write(tmp_path / "vit.onnx")


@pytest.fixture
def start(source: Path, tiny: str) -> Path:
    path = source.with_name("start.safetensors")
    starts.convert(source, path, tiny, ORIGIN, LICENSE)
    return path


def declared_in(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as stored:
        declared: dict[str, Any] = json.loads(stored.metadata()[METADATA_KEY])
    return declared


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ExplorerError) as caught:
        call()
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def test_what_was_done_comes_back(source: Path, start: Path, tiny: str) -> None:
    read = starts.load_start(start)
    assert (read.architecture, read.origin, read.license) == (tiny, ORIGIN, LICENSE)
    assert (read.source, read.source_digest) == ("vit.onnx", hashlib.sha256(source.read_bytes()).hexdigest())
    assert read.digest == hashlib.sha256(start.read_bytes()).hexdigest()
    assert read.changes == (
        "LayerScale folded into attn.proj and mlp.fc2",
        "patch embedding resampled from 14 to 8 pixels a side, by pseudo-inverse",
        "positions resampled from 3x3 to 4x4, bicubic",
        "left out: decoder",
    )


def test_the_weights_are_folded_and_resampled_in_float32(start: Path, tiny: str) -> None:
    state = starts.load_start(start).state
    before = timm_names(hugging_face())
    assert {value.dtype for value in load_file(start).values()} == {torch.float32}
    assert not any(key.startswith("head") for key in state)
    assert state["pos_embed"].shape == (1, 17, WIDTH)
    assert state["patch_embed.proj.weight"].shape == (WIDTH, 3, 8, 8)
    assert torch.equal(state["blocks.1.attn.qkv.weight"], before["blocks.1.attn.qkv.weight"])
    gamma, projection = before["blocks.1.ls1.gamma"], before["blocks.1.attn.proj.weight"]
    assert torch.equal(state["blocks.1.attn.proj.weight"], gamma[:, None] * projection)


@pytest.mark.parametrize("kind", ["timm", "hugging_face", "onnx"])
def test_a_start_of_the_same_sizes_computes_what_the_source_computes(tmp_path: Path, tiny: str, kind: str) -> None:
    state, path = hugging_face(patch=8, grid=4), tmp_path / "vit.safetensors"
    if kind == "onnx":
        path = Exporter(state).write(tmp_path / "vit.onnx")
    else:
        save_file(state if kind == "hugging_face" else timm_names(state), path)
    starts.convert(path, tmp_path / "start.safetensors", tiny, ORIGIN, LICENSE)
    loaded = checkpoints.load(tmp_path / "start.safetensors")
    image = normal(3, 32, 32).float()
    with torch.no_grad():
        tokens = loaded.module.double().forward_features(image[None].double())[0].numpy()
    expected = tokens_of(state, image)
    np.testing.assert_allclose(tokens, expected, rtol=0, atol=1e-6 * np.abs(expected).max())  # stored in float32


def test_the_explorer_opens_it_as_a_model_without_classes(start: Path) -> None:
    model = checkpoints.load(start)
    assert (model.card.classes, model.card.license, model.card.is_standard) == ((), LICENSE, True)
    assert model.card.recipe.startswith(f"{ORIGIN}, not trained since; changed: LayerScale folded")
    assert model.module.num_classes == 0
    assert model.module(torch.zeros(1, 3, 32, 32)).shape == (1, WIDTH)


def test_the_errors_of_both_checks_come_back(source: Path, tiny: str) -> None:
    done = starts.convert(source, source.with_name("start.safetensors"), tiny, ORIGIN, LICENSE)
    assert 0 <= done.fold_error < 1e-13
    assert done.graph_error is not None
    assert 0 < done.graph_error < 1e-5
    assert done.source.name == "vit.onnx"


def test_a_file_may_name_origin_and_license_itself(tmp_path: Path, tiny: str) -> None:
    named = {"origin": ORIGIN, "license": LICENSE}
    graph = Exporter(hugging_face()).write(tmp_path / "vit.onnx", metadata=named)
    save_file(hugging_face(), tmp_path / "vit.safetensors", {METADATA_KEY: json.dumps(named)})
    for path in (graph, tmp_path / "vit.safetensors"):
        starts.convert(path, tmp_path / "start.safetensors", tiny)
        read = starts.load_start(tmp_path / "start.safetensors")
        assert (read.origin, read.license) == (ORIGIN, LICENSE)
        starts.convert(path, tmp_path / "start.safetensors", tiny, license="the command's")
        assert starts.load_start(tmp_path / "start.safetensors").license == "the command's"


@pytest.mark.parametrize("missing", ["origin", "license"])
@pytest.mark.parametrize("given", [None, "", " "])
def test_origin_and_license_must_be_named(source: Path, tiny: str, missing: str, given: str | None) -> None:
    named = {"origin": ORIGIN, "license": LICENSE, missing: given}
    out = source.with_name("start.safetensors")
    reason = refusal(lambda: starts.convert(source, out, tiny, **named))
    assert f"The {missing} of vit.onnx was expected, as in --{missing} " in reason
    assert [path.name for path in source.parent.iterdir()] == ["vit.onnx"]


def lose_a_scale(state: State) -> None:
    del state["encoder.layer.0.layer_scale1.lambda1"]


def add_registers(state: State) -> None:
    state["embeddings.register_tokens"] = torch.zeros(1, 4, WIDTH)


def make_infinite(state: State) -> None:
    state["layernorm.bias"][3] = torch.inf


@pytest.mark.parametrize("spoil", [lose_a_scale, add_registers, make_infinite])
def test_a_refusal_leaves_nothing(tmp_path: Path, tiny: str, spoil: Callable[[State], None]) -> None:
    state, path = hugging_face(), tmp_path / "vit.safetensors"
    spoil(state)
    save_file(state, path)
    refusal(lambda: starts.convert(path, tmp_path / "start.safetensors", tiny, ORIGIN, LICENSE))
    assert [path.name for path in tmp_path.iterdir()] == ["vit.safetensors"]


def test_a_failed_check_leaves_the_file_that_was_there(
    start: Path, source: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start.read_bytes()
    monkeypatch.setattr(folding, "PROJECTIONS", ("key", "value", "query"))
    assert "differs from itself" in refusal(lambda: starts.convert(source, start, tiny, ORIGIN, LICENSE))
    assert start.read_bytes() == before
    assert sorted(path.name for path in start.parent.iterdir()) == ["start.safetensors", "vit.onnx"]


@pytest.mark.parametrize("name", ["start.pth", "start", "absent/start.safetensors"])
def test_it_is_written_as_safetensors_into_a_folder(source: Path, tiny: str, name: str) -> None:
    assert Path(name).name in refusal(lambda: starts.convert(source, source.parent / name, tiny, ORIGIN, LICENSE))
    assert [path.name for path in source.parent.iterdir()] == ["vit.onnx"]


@pytest.mark.parametrize(
    "change",
    [
        {"origin": None},
        {"license": ""},
        {"license": 3},
        {"start": None},
        {"start": []},
        {"architecture": "resnet50"},
        {"architecture": "deit_tiny_patch16_224"},
    ],
)
def test_other_metadata_are_refused(start: Path, change: dict[str, Any]) -> None:
    declared = {**declared_in(start), **change}
    checkpoints.save(start, load_file(start), {key: value for key, value in declared.items() if value is not None})
    refusal(lambda: starts.load_start(start))


def put_a_head_on(state: State) -> None:
    state["head.weight"], state["head.bias"] = torch.zeros(5, WIDTH), torch.zeros(5)


def lose_a_block(state: State) -> None:
    for key in [key for key in state if key.startswith("blocks.1.")]:
        del state[key]


def make_nan(state: State) -> None:
    state["norm.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (put_a_head_on, "without a head: unexpected: head.bias, head.weight"),
        (lose_a_block, "missing: blocks.1."),
        (make_nan, "finite numbers; norm.bias"),
    ],
)
def test_other_weights_are_refused(start: Path, spoil: Callable[[State], None], why: str) -> None:
    state, declared = load_file(start), declared_in(start)
    spoil(state)
    checkpoints.save(start, state, declared, torch.float32)
    assert why in refusal(lambda: starts.load_start(start))


def test_a_checkpoint_with_a_classifier_is_no_start(checkpoint: Path) -> None:
    assert "tiny.safetensors was expected to be a start" in refusal(lambda: starts.load_start(checkpoint))
