"""Files of weights from anywhere: good ones load strictly, and from the others comes one sentence and nothing else."""

import argparse
import builtins
import hashlib
import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import threading
import time
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save as safetensors_bytes
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.models import checkpoints, named, registry, weights
from explorer.models.twicing import get_filter
from explorer.types import ExplorerError
from tests.helpers import TINY, assert_one_sentence, quadratics, randomise

MakeModel = Callable[..., VisionTransformer]
State = dict[str, Tensor]

TOLD = {"architecture": TINY, "filter": [1.0, 2.0]}
PAPER = "deit_sharp_tiny_patch16_224"
KEY = "blocks.1.attn.qkv.weight"
SECONDS, MEGABYTES = 10.0, 400
"""What one refusal may take of a core, several times what any takes, and of memory."""


@pytest.fixture
def state(make_model: MakeModel) -> State:
    return make_model().state_dict()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that exists once anything out of another file was executed."""
    (tmp_path / "nest").mkdir()
    path = tmp_path / "nest" / "canary"
    yield path
    assert not path.exists(), "code out of a file was executed"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def saved(obj: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    return buffer.getvalue()


def refusal(path: Path, answers: Any = TOLD) -> str:
    """The one sentence with which a file is refused, soon and without much memory."""
    started, peak = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ExplorerError) as caught:
        checkpoints.load(path, answers=answers)
    assert time.thread_time() - started < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024 < MEGABYTES
    message = str(caught.value)
    assert_one_sentence(message)
    assert path.name in message or path.with_suffix(".json").name in message
    assert message.isprintable()
    assert len(message) < 2000
    assert not any(word in message for word in ("weights_only", "safe_globals", "allowlist", "trust"))
    return message


def assert_same(loaded: Any, expected: State) -> None:
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value.float()), key


# --- good files -----------------------------------------------------------------------------------------------------


def training(state: State, **more: object) -> dict[str, object]:
    """What the paper's code (DeiT's) writes after every epoch."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])  # keeps a Counter
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    args = argparse.Namespace(model=PAPER, lr=5e-4, betas=(0.9, 0.999), resume="", seed=None, sizes={1, 2}, key=b"\xff")
    return {
        "model": OrderedDict(state),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "epoch": 299,
        "scaler": {"scale": 65536.0, "_growth_tracker": 12},
        "shape": torch.Size([3]),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "args": args,
        **more,
    }


GOOD: dict[str, Callable[[State], object]] = {
    "official": lambda state: {"model": state},
    "training": training,
    "bare": dict,
    "module": lambda state: {f"module.{key}": value for key, value in state.items()},
    "module-in-model": lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "with-module-metadata": lambda state: timm_like(state),
    "parameters": lambda state: {key: torch.nn.Parameter(value) for key, value in state.items()},
    "columns-first": lambda state: {k: v.T.contiguous().T if v.ndim == 2 else v for k, v in state.items()},
    "parts-of-one-storage": lambda state: parts(state),
}


def timm_like(state: State) -> OrderedDict[str, Tensor]:
    ordered = OrderedDict(state)
    ordered._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return ordered


def parts(state: State) -> State:
    whole = torch.cat([value.flatten() for value in state.values()])
    pieces = whole.split([value.numel() for value in state.values()])
    return {key: piece.view(value.shape) for piece, (key, value) in zip(pieces, state.items(), strict=True)}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", GOOD)
def test_what_training_code_saves_loads(tmp_path: Path, state: State, form: str, zipped: bool) -> None:
    data = saved(GOOD[form](state), _use_new_zipfile_serialization=zipped)
    loaded = checkpoints.load(write(tmp_path / "x.pth", data), answers=TOLD)
    assert_same(loaded.module, state)
    assert loaded.card.digest == hashlib.sha256(data).hexdigest()
    assert get_filter(loaded.module) == quadratics(1.0, 2.0)
    assert loaded.card.declared_by == checkpoints.ASKED


@pytest.mark.parametrize("suffix", weights.TORCH)
def test_loaded_weights_compute_what_the_original_computes(
    tmp_path: Path, make_model: MakeModel, images: Tensor, suffix: str
) -> None:
    model = make_model()
    loaded = checkpoints.load(write(tmp_path / f"x{suffix}", saved({"model": model.state_dict()})), answers=TOLD)
    with torch.no_grad():
        assert torch.equal(loaded.module(images), model(images))


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2],
    ids=str,
)
def test_every_floating_type_is_taken(tmp_path: Path, state: State, dtype: torch.dtype, kind: str) -> None:
    rounded = {key: value.to(dtype) for key, value in state.items()}
    if kind == "safetensors":
        path = write(tmp_path / "x.safetensors", safetensors_bytes(rounded))
    else:
        path = write(tmp_path / "x.pth", saved(rounded, _use_new_zipfile_serialization=kind == "zip"))
    assert_same(checkpoints.load(path, answers=TOLD).module, rounded)


def test_files_are_read_as_torch_reads_them(tmp_path: Path, state: State) -> None:
    for zipped in (True, False):
        path = write(tmp_path / "x.pth", saved({"model": state}, _use_new_zipfile_serialization=zipped))
        expected = torch.load(path, weights_only=True)["model"]
        found = weights.read(path).sets["model"]
        assert list(found) == list(expected)
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_distilled_model_at_its_true_size(tmp_path: Path) -> None:
    name = "deit_tiny_distilled_patch16_224"
    model = randomise(timm.create_model(name)).eval()
    path = write(tmp_path / "deit.pth", saved({"model": {k: v.half() for k, v in model.state_dict().items()}}))
    started = time.thread_time()
    loaded = checkpoints.load(path, answers={"architecture": name, "filter": 2, "classes": "imagenet-1k"})
    assert time.thread_time() - started < SECONDS
    assert loaded.card.filter == quadratics(2.0) * 12
    assert len(loaded.card.classes) == len(loaded.card.wnids) == 1000
    assert_same(loaded.module, {key: value.half() for key, value in model.state_dict().items()})


def test_the_average_is_taken_when_asked_for(tmp_path: Path, state: State, make_model: MakeModel) -> None:
    average = make_model(seed=3).state_dict()
    path = write(tmp_path / "x.pth", saved(training(state, model_ema=average)))
    assert list(weights.read(path).sets) == ["model", "model_ema"]
    assert_same(checkpoints.load(path, answers=TOLD).module, state)
    loaded = checkpoints.load(path, answers=TOLD, which="model_ema")
    assert_same(loaded.module, average)
    assert loaded.card.source.endswith("x.pth#model_ema")
    assert loaded.card.digest != checkpoints.load(path, answers=TOLD).card.digest


def test_a_set_of_a_file_is_named_behind_a_hash(
    tmp_path: Path, state: State, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a figure's record names it, and as a shell does."""
    path = write(tmp_path / "x.pth", saved(training(state, model_ema=make_model(seed=3).state_dict())))
    path.with_suffix(".json").write_text(json.dumps(TOLD))
    asked = checkpoints.load(path, which="model_ema").card
    assert named.load_named(f"{path}#model_ema", "standard", "cpu").card == asked
    monkeypatch.setenv("EXPLORER_CHECKPOINTS", str(tmp_path))
    assert named.load_named(asked.source, "standard", "cpu").card == asked
    with pytest.raises(ExplorerError, match=r"x\.pth holds model, model_ema; 'other' was asked for\."):
        named.load_named(f"{path}#other", "standard", "cpu")
    odd = path.rename(tmp_path / "a#b.pth")
    odd.with_suffix(".json").write_text(json.dumps(TOLD))
    assert named.load_named(odd, "standard", "cpu").card.source.endswith("/a#b.pth")


def test_an_average_that_is_not_there_is_refused(tmp_path: Path, state: State) -> None:
    path = write(tmp_path / "x.pth", saved({"model": state}))
    with pytest.raises(ExplorerError, match=r"x\.pth holds model; 'model_ema' was asked for\."):
        checkpoints.load(path, answers=TOLD, which="model_ema")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_json_beside_the_file_declares_and_wins_over_answers(tmp_path: Path, state: State, suffix: str) -> None:
    data = saved(training(state)) if suffix == ".pth" else safetensors_bytes(state)
    path = write(tmp_path / f"x{suffix}", data)
    write(tmp_path / "x.json", json.dumps({**TOLD, "name": "Mine"}).encode())
    card = checkpoints.load(path, answers={"architecture": "resnet50", "filter": 1}).card
    assert (card.name, card.filter) == ("Mine", quadratics(1.0, 2.0))
    assert card.declared_by == "x.json beside the file"


def test_metadata_in_the_file_wins_over_a_json_and_answers(checkpoint: Path) -> None:
    write(checkpoint.with_suffix(".json"), json.dumps({"architecture": TINY, "filter": 1}).encode())
    card = checkpoints.load(checkpoint, answers={"architecture": TINY, "filter": 1}).card
    assert card.filter == quadratics(1.0, 2.0)
    assert card.declared_by == "the file's own metadata"


@pytest.mark.parametrize("filter", [1, 2])
def test_the_name_of_the_training_code_is_a_hint_alone(tmp_path: Path, state: State, filter: int) -> None:
    path = write(tmp_path / "x.pth", saved(training(state)))
    assert weights.read(path).named == PAPER
    assert "metadata" in refusal(path, answers=None)
    assert "filter" in refusal(path, answers={"architecture": TINY})
    assert checkpoints.load(path, answers={**TOLD, "filter": filter}).card.filter == quadratics(filter, filter)


@pytest.mark.parametrize("model", ["\ud800", "a\nb", 3, None, ["a"], torch.zeros(1)])
def test_a_name_that_is_no_name_is_no_hint(tmp_path: Path, state: State, model: object) -> None:
    path = write(tmp_path / "x.pth", saved({"model": state, "args": argparse.Namespace(model=model)}))
    assert weights.read(path).named is None


def test_a_long_name_is_cut(tmp_path: Path, state: State) -> None:
    path = write(tmp_path / "x.pth", saved({"model": state, "args": argparse.Namespace(model="m" * 10**6)}))
    assert weights.read(path).named == "m" * 100


def test_loading_in_several_threads(tmp_path: Path, state: State) -> None:
    path = write(tmp_path / "x.pth", saved(training(state)))
    names: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: names.extend(weights.read(path).named for _ in range(10))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == [PAPER] * 40


# --- files that would run code --------------------------------------------------------------------------------------


class Evil:
    """An object whose pickle calls a function."""

    def __init__(self, *called: Any) -> None:
        self.called = called

    def __reduce__(self) -> Any:
        return self.called[0], self.called[1:]


class EvilState:
    """An object whose pickle calls a function on the way to its attributes."""

    def __init__(self, inner: Evil) -> None:
        self.inner = inner

    def __reduce__(self) -> Any:
        return OrderedDict, (), {"state": self.inner}


CALLS: dict[str, Callable[[Path], Evil]] = {
    "os.system": lambda canary: Evil(os.system, f"touch {canary}"),
    "eval": lambda canary: Evil(builtins.eval, f"__import__('pathlib').Path({str(canary)!r}).touch()"),
    "exec": lambda canary: Evil(builtins.exec, f"__import__('pathlib').Path({str(canary)!r}).touch()"),
    "subprocess": lambda canary: Evil(subprocess.check_call, ["touch", str(canary)]),
    "open": lambda canary: Evil(builtins.open, str(canary), "w"),
    "getattr": lambda canary: Evil(getattr, Evil(__import__, "os"), "system"),
    "torch.load": lambda canary: Evil(torch.load, str(canary)),
    "torch.save": lambda canary: Evil(torch.save, 1, str(canary)),
}
PLACES: dict[str, Callable[[State, Any], bytes]] = {
    "alone": lambda state, evil: saved(evil),
    "beside": lambda state, evil: saved({"model": state, "extra": evil}),
    "in-args": lambda state, evil: saved({"model": state, "args": argparse.Namespace(model=evil)}),
    "as-a-weight": lambda state, evil: saved({"model": {**state, KEY: evil}}),
    "as-state": lambda state, evil: saved({"model": state, "extra": EvilState(evil)}),
    "legacy": lambda state, evil: saved({"model": state, "x": evil}, _use_new_zipfile_serialization=False),
    "plain-pickle": lambda state, evil: pickle.dumps({"model": evil}, protocol=2),
    "newest-pickle": lambda state, evil: pickle.dumps({"model": evil}, protocol=5),
    "protocol-0": lambda state, evil: pickle.dumps({"model": evil}, protocol=0),
    "as-the-magic-number": lambda state, evil: (
        pickle.dumps(evil, protocol=2) + saved({"model": state}, _use_new_zipfile_serialization=False)
    ),
    "in-hooks": lambda state, evil: saved(
        {"model": state, "x": Evil(torch._utils._rebuild_parameter, torch.zeros(1), True, {0: evil})}
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_executed(tmp_path: Path, state: State, canary: Path, place: str, call: str) -> None:
    refusal(write(tmp_path / "x.pth", PLACES[place](state, CALLS[call](canary))))


@pytest.mark.parametrize("suffix", weights.SUFFIXES)
def test_nothing_is_executed_whatever_the_file_is_called(
    tmp_path: Path, state: State, canary: Path, suffix: str
) -> None:
    refusal(write(tmp_path / f"x{suffix}", PLACES["beside"](state, CALLS["os.system"](canary))))


@pytest.mark.parametrize("name", ["os.system", "eval", "exec", "subprocess", "torch.save"])
def test_the_canary_would_have_sung(tmp_path: Path, name: str) -> None:
    pickle.loads(pickle.dumps(CALLS[name](tmp_path / "canary"), protocol=2))
    assert (tmp_path / "canary").exists()


# --- corrupt and hostile torch files ----------------------------------------------------------------------------------


def archive(pickled: bytes, *, compression: int = zipfile.ZIP_STORED, **records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as opened:
        opened.writestr("archive/data.pkl", pickled)
        for name, data in {"version": b"3\n", **records}.items():
            opened.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def tensor_of(size: int, dims: bytes, claimed: int = 1) -> bytes:
    """The pickle of `{"model": {"w": tensor}}` over one storage, whose length is claimed."""
    number = b"\x8a\x09" + claimed.to_bytes(9, "little")
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + number + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + dims + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}X\x05\0\0\0model}X\x01\0\0\0w" + call + b"ss."


def changed(state: State, value: Any, key: str = KEY) -> bytes:
    return saved({"model": {**state, key: value}})


def legacy(pickled: bytes, keys: bytes = b"\x80\x02].", rest: bytes = b"") -> bytes:
    head = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    return head + pickled + keys + rest


def many_entries() -> bytes:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, *[0] * 8, 1, *[0] * 6) + b"a"
    local = struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, *[0] * 8, 1, 0) + b"a"
    size = len(entry) * 400_000
    return local + entry * 400_000 + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, size, len(local), 0)


def lying_directory(state: State) -> bytes:
    """The central directory says that every record is 2 GiB long."""
    data = bytearray(saved({"model": state}))
    at = data.find(b"PK\1\2")
    while at >= 0:
        data[at + 20 : at + 28] = (2**31 - 1).to_bytes(4, "little") * 2
        at = data.find(b"PK\1\2", at + 4)
    return bytes(data)


def unread(state: State) -> bytes:
    """In torch's old format, storages that no key asks to be read: they would hold what was left in memory."""
    whole = saved({"model": state}, _use_new_zipfile_serialization=False)
    stream = io.BytesIO(whole)
    for _ in range(4):
        list(pickle_steps(stream))
    return whole[: stream.tell()] + b"\x80\x02]." + bytes(len(whole))


def pickle_steps(stream: io.BytesIO) -> Iterator[object]:
    import pickletools

    yield from pickletools.genops(stream)


def exponential_key() -> bytes:
    """A tuple of tuples, each twice the one before: 40 steps, and 2^40 to hash it as a key."""
    doubling = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(40))
    return b"\x80\x02})" + doubling + b"Ns."


def built_again_and_again() -> bytes:
    big = b"".join(b"J" + i.to_bytes(4, "little") + b"N" for i in range(60_000))
    return b"\x80\x02ccollections\nOrderedDict\n)R}q\0(" + big + b"ub" + b"h\0b" * 60_000 + b"."


def many_dimensions() -> bytes:
    return tensor_of(1, b"(" + b"K\x01" * 10_000 + b"tq\x01h\x01")


ONE = torch.zeros(9999)
STRIDE_ZERO = torch.zeros(1).expand(2**18, 2**18)
BOMB = archive(b"\x80\x02}.", compression=zipfile.ZIP_DEFLATED, **{"data/0": bytes(2**26)})
HOSTILE: dict[str, Callable[[State], bytes]] = {
    "empty": lambda state: b"",
    "one byte": lambda state: b"\x80",
    "text": lambda state: b"weights of a model\n" * 100,
    "html": lambda state: b"<!DOCTYPE html><html><body>404</body></html>",
    "zip magic": lambda state: b"PK\x03\x04",
    "zeros": lambda state: bytes(10_000),
    "empty zip": lambda state: b"PK\5\6" + bytes(18),
    "zip of something else": lambda state: archive(b"").replace(b"data.pkl", b"text.txt"),
    "safetensors": lambda state: safetensors_bytes(state),
    "zip bomb": lambda state: BOMB,
    "compressed pickle": lambda state: archive(bytes(2**26), compression=zipfile.ZIP_DEFLATED),
    "many entries": lambda state: many_entries(),
    "lying directory": lying_directory,
    "pickle of more than 2 MiB": lambda state: saved({"model": state, "x": "x" * 2**21}),
    "key of many MiB": lambda state: saved({"model": {"k" * 3 * 2**20: torch.zeros(1)}}),
    "key of one MiB": lambda state: saved({"model": {"k" * 2**20: torch.zeros(1)}}),
    "68 billion elements": lambda state: saved({"model": {"w": STRIDE_ZERO}}),
    "68 billion elements, legacy": lambda state: saved({"w": STRIDE_ZERO}, _use_new_zipfile_serialization=False),
    "fitting, but stride 0": lambda state: saved({k: torch.zeros(()).expand(v.shape) for k, v in state.items()}),
    "one storage for all": lambda state: saved({k: ONE.as_strided(v.shape, v.stride()) for k, v in state.items()}),
    "huge claim": lambda state: archive(tensor_of(1, b"K\x01\x85K\x01\x85", 2**60), **{"data/0": bytes(4)}),
    "negative claim": lambda state: archive(tensor_of(1, b"K\x01\x85K\x01\x85", 2**71), **{"data/0": bytes(4)}),
    "huge claim, legacy": lambda state: legacy(tensor_of(1, b"K\x01\x85K\x01\x85", 2**33)),
    "huge claim of a key, legacy": lambda state: legacy(
        tensor_of(1, b"K\x01\x85K\x01\x85", 2**33), b"\x80\x02]X\x01\0\0\x000a.", (2**33).to_bytes(8, "little")
    ),
    "beyond its storage": lambda state: archive(tensor_of(1, b"K\x09\x85K\x01\x85"), **{"data/0": bytes(4)}),
    "negative size": lambda state: archive(tensor_of(1, b"J\xff\xff\xff\xff\x85K\x01\x85"), **{"data/0": bytes(4)}),
    "size of nothing": lambda state: archive(tensor_of(1, b"NN"), **{"data/0": bytes(4)}),
    "ten thousand dimensions": lambda state: archive(many_dimensions(), **{"data/0": bytes(4)}),
    "record that is not there": lambda state: archive(tensor_of(1, b"K\x01\x85K\x01\x85")),
    "storages never read": unread,
    "deep lists": lambda state: archive(b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"."),
    "deep dicts": lambda state: archive(b"\x80\x02" + b"}K\x00" * 10**5 + b"N" + b"s" * 10**5 + b"."),
    "deep tuples": lambda state: archive(b"\x80\x02)" + b"\x85" * 10**6 + b"."),
    "less deep tuples": lambda state: archive(b"\x80\x02)" + b"\x85" * 10**5 + b"."),
    "deep tuple as a key": lambda state: archive(b"\x80\x02})" + b"\x85" * 10**6 + b"Ns."),
    "less deep tuple as a key": lambda state: archive(b"\x80\x02})" + b"\x85" * 10**5 + b"Ns."),
    "exponential key": lambda state: archive(exponential_key()),
    "quadratic building": lambda state: archive(built_again_and_again()),
    "six gigabytes by one call": lambda state: archive(
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + (6 * 2**30).to_bytes(5, "little") + b"\x85R."
    ),
    "doubling by encoding": lambda state: archive(
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0a" + b"X\x03\0\0\0hex\x86R".join([b""] * 40) + b"."
    ),
    "attributes that hide methods": lambda state: archive(
        b"\x80\x02ccollections\nOrderedDict\n)R}(X\x03\0\0\0getK\x01X\x05\0\0\0itemsK\x01ub."
    ),
    "many steps, legacy": lambda state: legacy(b"\x80\x02" + b"N0" * 10**6 + b"."),
    "many numbers, legacy": lambda state: legacy(b"\x80\x02](" + b"K\x01" * 10**6 + b"e."),
    "endless string, legacy": lambda state: legacy(b"\x80\x02X\xff\xff\xff\xffabc"),
    "stack underflow": lambda state: archive(b"\x80\x02000."),
    "no mark": lambda state: archive(b"\x80\x02tue."),
    "no memo": lambda state: archive(b"\x80\x02h\x07."),
    "never stops": lambda state: archive(b"\x80\x02}"),
    "holds itself": lambda state: archive(b"\x80\x02}q\0X\x05\0\0\0modelh\0s."),
    "extension registry": lambda state: archive(b"\x80\x04\x82\x01."),
    "other byte order": lambda state: archive(b"\x80\x02}.", byteorder=b"big"),
    "a number": lambda state: saved(3),
    "a list": lambda state: saved([state]),
    "a tensor": lambda state: saved(torch.zeros(3)),
    "an empty dict": lambda state: saved({}),
    "an empty model": lambda state: saved({"model": {}}),
    "a whole module": lambda state: saved(torch.nn.Linear(2, 2)),
    "keys that are numbers": lambda state: saved({"model": dict(enumerate(state.values()))}),
    "values that are lists": lambda state: saved({"model": {k: v.tolist() for k, v in list(state.items())[:3]}}),
    "values that are numbers": lambda state: saved({"model": {**state, "epoch": 3}}),
    "a missing key": lambda state: saved({"model": {k: v for k, v in state.items() if k != KEY}}),
    "an unexpected key": lambda state: changed(state, torch.zeros(2), "head_dist.weight"),
    "hostile keys": lambda state: changed(state, torch.zeros(2), "a. b\n\x1b[31m<script>. \ud800\u202e"),
    "a wrong shape": lambda state: changed(state, state[KEY].T.contiguous()),
    "no dimension": lambda state: changed(state, torch.tensor(1.0)),
    "no element": lambda state: changed(state, torch.zeros(0, 2**40)),
    "integer": lambda state: changed(state, state[KEY].int()),
    "bool": lambda state: changed(state, state[KEY] > 0),
    "complex": lambda state: changed(state, state[KEY].to(torch.complex64)),
    "quantized": lambda state: changed(state, torch.quantize_per_tensor(state[KEY], 0.1, 0, torch.qint8)),
    "sparse": lambda state: changed(state, state[KEY].to_sparse()),
    "meta": lambda state: changed(state, state[KEY].to("meta")),
    "packed": lambda state: changed(state, torch.zeros(96, 32, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)),
    "scales": lambda state: changed(state, torch.zeros(96, 32, dtype=torch.uint8).view(torch.float8_e8m0fnu)),
    "negated": lambda state: changed(state, torch._neg_view(state[KEY])),
    "NaN": lambda state: changed(state, torch.full_like(state[KEY], float("nan"))),
    "infinite": lambda state: changed(state, torch.full_like(state[KEY], float("inf"))),
    "too large for float32": lambda state: changed(state, torch.full((96, 32), 1e300, dtype=torch.float64)),
}


@pytest.mark.filterwarnings("ignore:torch.quantize")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_torch_file_is_refused(tmp_path: Path, state: State, canary: Path, kind: str) -> None:
    refusal(write(tmp_path / "x.pth", HOSTILE[kind](state)))


def test_the_file_of_68_billion_elements_is_small() -> None:
    assert len(saved({"w": STRIDE_ZERO})) < 2000
    assert STRIDE_ZERO.numel() > 68 * 10**9


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, state: State, form: str) -> None:
    data = saved({"model": state}, _use_new_zipfile_serialization=form == "zip")
    cuts = [1, 3, 4, 30, 64, 100, 500, 1000, len(data) // 2, *range(len(data) - 120, len(data), 7), len(data) - 1]
    for keep in cuts:
        refusal(write(tmp_path / "x.pth", data[:keep]))


# --- corrupt and hostile safetensors ----------------------------------------------------------------------------------


def safe(header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def told(text: str, state: State) -> bytes:
    return safetensors_bytes(state, {weights.METADATA_KEY: text})


SAFE_HOSTILE: dict[str, Callable[[State], bytes]] = {
    "empty": lambda state: b"",
    "seven bytes": lambda state: bytes(7),
    "length of 2^63": lambda state: safe(b"{}", length=2**63),
    "length of 2^64 - 1": lambda state: safe(b"{}", length=2**64 - 1),
    "length beyond the file": lambda state: safe(b"{}", length=1000),
    "header of spaces": lambda state: safe(b"{}" + b" " * (5 * 2**20)),
    "header that is a list": lambda state: safe(b"[]"),
    "header that is nothing": lambda state: safe(b""),
    "deep header": lambda state: safe(b'{"a":' * 10**5 + b"1" + b"}" * 10**5),
    "overlapping": lambda state: safe({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)),
    "backwards": lambda state: safe({"a": entry([1], 4, 0)}, bytes(4)),
    "hole": lambda state: safe({"a": entry([1], 4, 8)}, bytes(8)),
    "more data than told": lambda state: safe({"a": entry([1], 0, 4)}, bytes(8)),
    "less data than told": lambda state: safe({"a": entry([9], 0, 36)}, bytes(8)),
    "huge shape without data": lambda state: safe({"a": entry([2**40, 2**40, 0], 0, 0)}),
    "huge shape": lambda state: safe({"a": entry([2**62, 2**62], 0, 4)}, bytes(4)),
    "negative shape": lambda state: safe({"a": entry([-1], 0, 4)}, bytes(4)),
    "unknown type": lambda state: safe({"a": entry([1], 0, 4, "F31")}, bytes(4)),
    "type of six bits": lambda state: safe({"a": entry([4], 0, 3, "F6_E2M3")}, bytes(3)),
    "type of four bits": lambda state: safe({"a": entry([8], 0, 4, "F4")}, bytes(4)),
    "duplicate keys": lambda state: safe(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "duplicate metadata": lambda state: safe(b'{"__metadata__":{"twicing_explorer":"{}"},"__metadata__":5}'),
    "no tensor": lambda state: safe({}),
    "a hundred thousand dimensions": lambda state: safe({"a": entry([1] * 10**5, 0, 4)}, bytes(4)),
    "long key": lambda state: safe({"k" * 2**20: entry([1], 0, 4)}, bytes(4)),
    "integer": lambda state: safetensors_bytes({**state, KEY: state[KEY].int()}),
    "complex": lambda state: safetensors_bytes({**state, KEY: state[KEY].to(torch.complex64)}),
    "NaN": lambda state: safetensors_bytes({**state, KEY: state[KEY] * float("nan")}),
    "text in metadata": lambda state: told("weights", state),
    "deep metadata": lambda state: told("[" * 10**5, state),
    "huge metadata": lambda state: told(json.dumps({**TOLD, "name": "n" * 2**20}), state),
    "too huge metadata": lambda state: told(json.dumps({**TOLD, "name": "n" * 2**22}), state),
    "NaN in metadata": lambda state: told('{"architecture": "tiny_random", "filter": NaN}', state),
    "half a character": lambda state: told(json.dumps({**TOLD, "name": "\ud800"}), state),
    "half a character as a key": lambda state: told(json.dumps({**TOLD, "\udfff": 1}), state),
    "long number": lambda state: told('{"architecture": "tiny_random", "filter": ' + "9" * 10**5 + "}", state),
}


@pytest.mark.parametrize("kind", SAFE_HOSTILE)
def test_a_hostile_safetensors_file_is_refused(tmp_path: Path, state: State, kind: str) -> None:
    refusal(write(tmp_path / "x.safetensors", SAFE_HOSTILE[kind](state)))


# --- hostile declarations ---------------------------------------------------------------------------------------------


DECLARATIONS: dict[str, bytes | dict[str, Any]] = {
    "empty": b"",
    "binary": bytes(range(256)),
    "list": b"[]",
    "deep": b"[" * 10**6,
    "more than 1 MiB": b'{"name": "' + b"n" * 2**20 + b'"}',
    "half a character": b'{"architecture": "tiny_random", "filter": 1, "name": "\\ud800"}',
    "architecture of billions": {"architecture": "vit_7b_patch16_dinov3"},
    "architecture unknown": {"architecture": "x" * 10**5},
    "architecture with a newline": {"architecture": "a\nb. c"},
    "architecture on the hub": {"architecture": "hf-hub:someone/something"},
    "architecture in a folder": {"architecture": "local-dir:/etc"},
    "architecture with an unknown tag": {"architecture": "vit_base_patch16_224.nobody_knows"},
    "architecture that is a list": {"architecture": [TINY]},
    "architecture that is no transformer": {"architecture": "resnet50"},
    "filter of text": {"filter": "one. two\n"},
    "filter that is not finite": b'{"architecture": "tiny_random", "filter": [NaN, 1e999]}',
    "filter beyond floats": b'{"architecture": "tiny_random", "filter": 1' + b"0" * 400 + b"}",
    "filter for more blocks": {"filter": [1.0] * 10**5},
    "top1 that is not a number": b'{"architecture": "tiny_random", "filter": 1, "top1": NaN}',
    "top1 beyond all": {"top1": 101},
    "source of no size": {"preprocessing": {"source_size": [0, 0]}},
    "source of huge size": {"preprocessing": {"source_size": [10**9, 10**9]}},
    "tiny crop": {"preprocessing": {"crop_pct": 1e-9}},
    "no spread": {"preprocessing": {"std": [0, 0, 0]}},
    "huge input": {"preprocessing": {"input_size": [10**6, 10**6]}},
    "many classes": {"classes": ["c"] * 10**5, "wnids": ["c"] * 10**5},
    "text as classes": {"classes": "c" * 10**6, "wnids": "c"},
}


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_a_hostile_json_beside_is_refused(tmp_path: Path, state: State, kind: str) -> None:
    declaration = DECLARATIONS[kind]
    data = declaration if isinstance(declaration, bytes) else json.dumps({**TOLD, **declaration}).encode()
    write(tmp_path / "x.json", data)
    refusal(write(tmp_path / "x.pth", saved({"model": state})))


def test_billions_of_parameters_are_not_made_of_a_small_file(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in timm.create_model("vit_7b_patch16_dinov3").state_dict().items()}
    write(tmp_path / "x.json", json.dumps({"architecture": "vit_7b_patch16_dinov3", "filter": 1}).encode())
    grain = torch.zeros(())
    refusal(write(tmp_path / "x.pth", saved({key: grain.expand(shape) for key, shape in shapes.items()})))


def test_metadata_nested_as_deep_as_json_allows(tmp_path: Path, state: State) -> None:
    path = write(tmp_path / "x.pth", saved({"model": state}))
    for depth in range(700, 1001, 5):
        declared = {**TOLD, "classes": ["c"] * 4, "wnids": ["c"] * 5}
        text = json.dumps(declared)[:-1] + ', "name": ' + "[" * depth + "]" * depth + "}"
        write(tmp_path / "x.json", text.encode())
        refusal(path)


# --- things that are no files -----------------------------------------------------------------------------------------


def make_folder(path: Path) -> None:
    path.mkdir()


def make_dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("make", [make_folder, make_dangling, make_loop, make_device, os.mkfifo])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    make(path)
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(refusal(path)), daemon=True)
    thread.start()
    thread.join(10)
    assert len(said) == 1, "it was waited for"


@pytest.mark.parametrize("suffix", ["", ".txt", ".PTH", ".npz", ".pkl"])
def test_other_names_are_refused(tmp_path: Path, state: State, suffix: str) -> None:
    assert "was expected to end in" in refusal(write(tmp_path / f"x{suffix}", saved({"model": state})))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_nobody_may_read_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"x{suffix}", b"")
    path.chmod(0)
    assert "cannot be read" in refusal(path)


def test_a_json_that_is_a_pipe_is_not_waited_for(tmp_path: Path, state: State) -> None:
    os.mkfifo(tmp_path / "x.json")
    path = write(tmp_path / "x.pth", saved({"model": state}))
    assert_same(checkpoints.load(path, answers=TOLD).module, state)


# --- nothing between all and nothing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["cls_token", "head.bias", KEY])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_weight_is_ever_made_up(
    tmp_path: Path, state: State, key: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One missing tensor refuses the file before anything of it is copied into a model."""
    monkeypatch.setattr(VisionTransformer, "load_state_dict", lambda *_, **__: pytest.fail("loaded in part"))
    rest = {k: v for k, v in state.items() if k != key}
    data = saved({"model": rest}) if suffix == ".pth" else safetensors_bytes(rest)
    assert f"missing: {key}" in refusal(write(tmp_path / f"x{suffix}", data))


def test_a_broken_average_refuses_the_file(tmp_path: Path, state: State) -> None:
    refusal(write(tmp_path / "x.pth", saved({"model": state, "model_ema": {"a": 1}})))


def test_loaded_weights_outlive_their_file(tmp_path: Path, state: State) -> None:
    path = write(tmp_path / "x.pth", saved({"model": state}))
    loaded = checkpoints.load(path, answers=TOLD)
    path.write_bytes(bytes(path.stat().st_size))
    assert_same(loaded.module, state)


# --- fuzz -------------------------------------------------------------------------------------------------------------


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, mostly at either end where the structure is; sometimes parts cut out, doubled or cut off."""
    changed = bytearray(data)
    edge = min(len(data), 4000)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        at = rng.choice((rng.randrange(len(data)), rng.randrange(edge), len(data) - 1 - rng.randrange(edge)))
        changed[at] = rng.choice((0, 255, rng.randrange(256), changed[at] ^ (1 << rng.randrange(8))))
    at, length = rng.randrange(len(data)), rng.randrange(1, 200)
    match rng.randrange(8):
        case 0:
            del changed[at:]
        case 1:
            del changed[at : at + length]
        case 2:
            changed[at:at] = changed[at : at + length]
    return bytes(changed)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_mutated_files_load_soundly_or_are_refused(
    tmp_path: Path, state: State, canary: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random numbers for a model that has none would take most of the time.
    monkeypatch.setattr(registry, "create", partial(registry.create, weight_init="skip"))
    if kind == "safetensors":
        data = safetensors_bytes(state, {weights.METADATA_KEY: json.dumps(TOLD)})
    else:
        data = saved(training(state), _use_new_zipfile_serialization=kind == "zip")
    path = tmp_path / ("x.safetensors" if kind == "safetensors" else "x.pth")
    rng, refused = random.Random(0), Counter[bool]()
    for _ in range(300):
        write(path, mutated(data, rng))
        started = time.thread_time()
        try:
            module = checkpoints.load(path, answers=TOLD).module
        except ExplorerError as error:
            assert_one_sentence(str(error))
            refused[True] += 1
        else:
            found = module.state_dict()
            assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in state.items()}
            assert all(value.dtype == torch.float32 and value.isfinite().all() for value in found.values())
            refused[False] += 1
        assert time.thread_time() - started < SECONDS
    assert min(refused[True], refused[False]) > 20
