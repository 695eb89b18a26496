"""The hub without a network: the real loading code on a cache laid out as the hub's client lays it out."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from explorer.models import hub
from explorer.models.trace import trace
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, quadratics

NAME = "deit_tiny_distilled_patch16_224.fb_in1k"
REPOSITORY = f"timm/{NAME}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that is somewhere else."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path


def put(cache: Path, state: dict[str, torch.Tensor], repository: str = REPOSITORY) -> Path:
    """A file as the client would have downloaded it."""
    folder = cache / ("models--" + repository.replace("/", "--"))
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    save_file(state, snapshot / hub.FILE)
    return snapshot / hub.FILE


@pytest.fixture(scope="module")
def random_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model(NAME).state_dict()


def refusal(name: str) -> str:
    with pytest.raises(ExplorerError) as caught:
        hub.load(name)
    assert_one_sentence(str(caught.value).replace("127.0.0.1:9", "the hub"))
    return str(caught.value)


def test_every_listed_model_says_where_it_is() -> None:
    assert NAME in hub.names()
    assert hub.names()[0].startswith("deit_")
    assert len(set(hub.names())) == len(hub.names()) > 300


def test_a_cached_model_loads_without_a_network(cache: Path, random_state: dict[str, torch.Tensor]) -> None:
    path = put(cache, random_state)
    loaded = hub.load(NAME)
    plain = timm.create_model(NAME).eval()
    plain.load_state_dict(random_state)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = plain(image)[0]
    (traced,) = trace(loaded.module, image)
    assert (traced.logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    card = loaded.card
    assert (card.filter, card.is_counterfactual, card.source) == (quadratics(1.0) * 12, False, f"hub: {REPOSITORY}")
    assert (card.license, len(card.classes), card.classes[281], card.wnids[281]) == (
        "apache-2.0",
        1000,
        "tabby",
        "n02123045",
    )
    assert card.preprocessing.crop_pct == 0.9
    assert traced.prefix == 2
    assert card.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_input_size_is_resampled_and_said(cache: Path, random_state: dict[str, torch.Tensor]) -> None:
    put(cache, random_state)
    loaded = hub.load(NAME, input_size=160)
    card = loaded.card
    assert (card.preprocessing.input_size, card.is_resized) == ((160, 160), True)
    assert card.changes == ("Positions of 14x14 patches are resampled to 10x10, bicubic, antialiased.",)
    assert trace(loaded.module, torch.zeros(1, 3, 160, 160))[0].grid == (10, 10)
    with pytest.raises(ExplorerError, match="whole patches of 16 px"):
        hub.load(NAME, input_size=161)


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_the_answer_is_quick(cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    started = time.monotonic()
    message = refusal(NAME)
    assert time.monotonic() - started < 5
    assert ("HF_HUB_OFFLINE" if offline else "cannot be reached") in message


def test_a_hub_that_never_answers_is_given_up_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def head(self, *_: object, **__: object) -> None:
            time.sleep(6)

    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    monkeypatch.setattr(huggingface_hub, "get_session", Silent)
    started = time.monotonic()
    assert "cannot be reached" in refusal(NAME)
    assert time.monotonic() - started < 2


def test_a_download_reports_its_progress_and_its_failure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def download(*_: object, tqdm_class: type, **__: object) -> str:
        bar = tqdm_class(total=10, disable=False)
        bar.update(4)
        bar.update(6)
        bar.close()
        raise OSError("connection lost")

    monkeypatch.setattr(hub, "_answers", lambda: True)
    monkeypatch.setattr(hub, "_size", lambda repository: 10)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(ExplorerError, match=r"could not be downloaded \(OSError\)"):
        hub.load(NAME, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (10, 10)]


@pytest.fixture
def sizes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the hub says of its files; nothing is downloaded."""
    known: dict[str, int] = {}

    def download(*_: object, **__: object) -> str:
        raise AssertionError("downloaded")

    monkeypatch.setattr(hub, "_answers", lambda: True)
    monkeypatch.setattr(hub, "_size", known.__getitem__)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return known


@pytest.mark.parametrize(("limit", "mib"), [(None, 2049), ("100", 101), (None, 27_600)])
def test_a_file_beyond_the_limit_is_not_downloaded(
    sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch, limit: str | None, mib: int
) -> None:
    if limit:
        monkeypatch.setenv(hub.SIZE_VARIABLE, limit)
    sizes[REPOSITORY] = mib * 2**20
    message = refusal(NAME)
    assert f"{mib} MiB" in message
    assert f"at most {limit or hub.LARGEST_MIB}" in message
    assert hub.SIZE_VARIABLE in message


def test_a_limit_that_is_none_is_said(sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.SIZE_VARIABLE, "much")
    sizes[REPOSITORY] = 1
    assert hub.SIZE_VARIABLE in refusal(NAME)


def test_the_disk_is_not_filled(sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=(hub.FREE_MIB + 20) * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    sizes[REPOSITORY] = 21 * 2**20
    assert "the disk" in refusal(NAME)
    sizes[REPOSITORY] = 20 * 2**20
    with pytest.raises(ExplorerError, match="AssertionError"):  # it went on to the download
        hub.load(NAME)


def test_one_file_is_downloaded_at_a_time(sizes: dict[str, int]) -> None:
    sizes[REPOSITORY] = 1
    with hub._downloading:
        assert "Another model" in refusal(NAME)


def test_the_operator_says_which_models_there_are(
    cache: Path, monkeypatch: pytest.MonkeyPatch, random_state: dict[str, torch.Tensor]
) -> None:
    put(cache, random_state)
    monkeypatch.setenv(hub.NAMES_VARIABLE, "deit_small_*, deit3_small_patch16_224.fb_in1k")
    assert "deit3_small_patch16_224.fb_in1k" in hub.offered()
    assert all(name.startswith(("deit_small_", "deit3_small_patch16_224.")) for name in hub.offered())
    assert hub.NAMES_VARIABLE in refusal(NAME)
    monkeypatch.setenv(hub.NAMES_VARIABLE, "deit_*")
    assert hub.load(NAME).card.name == NAME


@pytest.mark.parametrize("name", ["resnet50.a1_in1k", "someone/else", "../../etc/passwd", ""])
def test_only_names_in_timms_list_are_looked_up(cache: Path, name: str) -> None:
    assert "timm's list" in refusal(name)


def test_models_that_cannot_be_traced_are_refused_before_the_download(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "names", lambda: ("beit_base_patch16_224.in22k_ft_in22k",))
    assert "beit.Attention" in refusal("beit_base_patch16_224.in22k_ft_in22k")


@pytest.mark.parametrize("wrong", ["missing", "shape", "nan", "overflow", "text"])
def test_weights_that_do_not_fit_are_refused(cache: Path, random_state: dict[str, torch.Tensor], wrong: str) -> None:
    state = {key: value.clone() for key, value in random_state.items()}
    if wrong == "missing":
        del state["blocks.3.attn.qkv.weight"]
    elif wrong == "shape":
        state["blocks.3.attn.qkv.weight"] = state["blocks.3.attn.qkv.weight"].T.contiguous()
    elif wrong == "nan":
        state["norm.weight"][5] = float("nan")
    elif wrong == "overflow":
        state["head.weight"] *= 1e30
    path = put(cache, state)
    if wrong == "text":
        path.write_text(json.dumps({}))
    assert REPOSITORY in refusal(NAME)
