"""How much may be uploaded, and a photograph that fits into no cache; what a server does of it is in test_server.py."""

import io
from pathlib import Path

import pytest
from PIL import Image

from explorer import processes
from explorer.pictures import isolated
from explorer.types import ExplorerError, ImageInput
from explorer.ui.shell import resources, uploads
from tests.helpers import assert_one_sentence


def test_the_limits_are_1_gib_and_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (uploads.VISITOR, uploads.SERVER):
        monkeypatch.delenv(variable, raising=False)
    assert uploads.visitor_limit() == 2**30
    container = tmp_path / "memory.max"
    monkeypatch.setattr(processes, "_CGROUP", container)
    of_the_machine = uploads.server_limit()
    assert 0 < of_the_machine < 2**50
    container.write_text("max\n")
    assert uploads.server_limit() == of_the_machine
    container.write_text(f"{80 * 2**20}\n")
    assert uploads.server_limit() == 20 * 2**20


@pytest.mark.parametrize("given", ["0", "-1", "much", "1.5", "9" * 12])
@pytest.mark.parametrize("variable", [uploads.VISITOR, uploads.SERVER])
def test_a_limit_that_is_no_number_is_said(monkeypatch: pytest.MonkeyPatch, variable: str, given: str) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(ExplorerError, match=variable) as caught:
        uploads.visitor_limit(), uploads.server_limit()
    assert_one_sentence(str(caught.value))


def test_a_photograph_larger_than_the_cache_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    Image.new("RGB", (1024, 20 * 1024)).save(out, "PNG")
    decodings = []

    def decode(data: bytes) -> ImageInput:
        decodings.append(len(data))
        return original(data)

    original = isolated.DECODER.decode
    monkeypatch.setattr(isolated.DECODER, "decode", decode)
    image = resources.decode(out.getvalue())
    assert image.nbytes > resources._decoded().capacity
    for _ in range(3):
        assert resources.reopen(image.digest, out.getvalue) is image
    assert len(decodings) == 1
    resources._larger.clear()
