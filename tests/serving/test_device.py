"""Where models run: what was asked for, or one sentence saying what came."""

import pytest
import torch

from explorer.serving import device
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(device.VARIABLE, raising=False)


def has(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> list[str]:
    """Pretends that these devices are there; returns the list of names that were then tried."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    tried: list[str] = []
    monkeypatch.setattr(torch, "empty", lambda *shape, device: tried.append(str(device)))
    return tried


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_there_is(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str):
    has(monkeypatch, cuda=cuda, mps=mps)
    assert device.device_called() == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", " CPU "])
def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, name: str):
    has(monkeypatch, cuda=True, mps=False)
    monkeypatch.setenv(device.VARIABLE, name)
    assert device.device_called() == torch.device("cpu")


@pytest.mark.parametrize("name", ["", "auto", "AUTO"])
def test_auto_and_nothing_are_the_same(monkeypatch: pytest.MonkeyPatch, name: str):
    has(monkeypatch, cuda=True, mps=False)
    monkeypatch.setenv(device.VARIABLE, name)
    assert device.device_called() == torch.device("cuda")


def test_an_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(device.VARIABLE, "no such device")
    assert device.device_called("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["toaster", "cuda:many", "cuda:99"])
def test_an_unknown_device_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(device.VARIABLE, name)
    with pytest.raises(ExplorerError) as raised:
        device.device_called()
    assert repr(name) in str(raised.value)
    assert_one_sentence(str(raised.value))


def test_the_cpu_in_words():
    assert device.describe(torch.device("cpu")) == "CPU"
