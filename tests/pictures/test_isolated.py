"""The decoder in a process of its own gives what `images.decode` gives, and outlives what its process does not."""

import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np
import pytest
from PIL import Image

from explorer.pictures import images, isolated
from explorer.pictures.images import ImageError
from explorer.pictures.isolated import IsolatedDecoder
from tests.helpers import assert_one_sentence
from tests.pictures import decoders


def encoded(format: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.effect_mandelbrot((90, 60), (-3, -2.5, 2, 2.5), 40).convert(mode).save(out, format)
    return out.getvalue()


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder(1)
    decoder.start()
    yield decoder
    end(decoder)


def end(decoder: IsolatedDecoder) -> None:
    while not decoder._idle.empty():
        if worker := decoder._idle.get():
            worker.end()


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "L"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("TIFF", "CMYK")])
def test_a_picture_is_the_same(decoder: IsolatedDecoder, format: str, mode: str) -> None:
    data = encoded(format, mode)
    image, expected = decoder.decode(data), images.decode(data)
    assert (image.digest, image.notes) == (expected.digest, expected.notes)
    assert np.array_equal(image.rgb, expected.rgb)
    assert not image.rgb.flags.writeable


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", encoded("PNG")[:200]], ids=["empty", "another kind", "cut short"])
def test_a_refusal_is_the_same(decoder: IsolatedDecoder, data: bytes) -> None:
    with pytest.raises(ImageError) as expected:
        images.decode(data)
    with pytest.raises(ImageError) as caught:
        decoder.decode(data)
    assert str(caught.value) == str(expected.value)


def test_a_damaged_file_says_nothing_on_the_servers_output(
    decoder: IsolatedDecoder, capfd: pytest.CaptureFixture[str]
) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(out, "TIFF", compression="packbits")
    data = bytearray(out.getvalue())
    data[8:28] = b"\xff" * 20  # where the pixels begin
    with suppress(ImageError):
        images.decode(bytes(data))
    assert "PackBitsDecode" in capfd.readouterr().err  # libtiff's own words, in this process
    with suppress(ImageError):
        decoder.decode(bytes(data))
    assert capfd.readouterr().err == ""


def test_a_process_that_died_idle_costs_nobody_a_picture(decoder: IsolatedDecoder) -> None:
    worker = decoder._idle.get()
    assert worker
    worker._process.kill()
    worker._process.wait()
    decoder._idle.put(worker)
    assert decoder.decode(encoded("PNG")).size == (60, 90)


def test_a_process_is_renewed_now_and_then(decoder: IsolatedDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_PICTURES", 1)
    processes = set()
    for _ in range(2):
        decoder.decode(encoded("PNG"))
        worker = decoder._idle.queue[-1]
        assert worker
        processes.add(worker._process.pid)
    assert len(processes) == 2


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")


@pytest.mark.parametrize(
    "serve", [decoders.dying, pytest.param(decoders.hungry, marks=linux), pytest.param(decoders.busy, marks=linux)]
)
def test_what_breaks_the_decoder_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, serve: Callable[[Connection], None]
) -> None:
    decoder, good = IsolatedDecoder(1), encoded("PNG")
    with monkeypatch.context() as patched:
        patched.setattr(isolated, "_SERVE", f"{serve.__module__}:{serve.__name__}")
        with pytest.raises(ImageError, match="broke the decoder") as caught:
            decoder.decode(good)
    assert_one_sentence(str(caught.value))
    assert decoder.decode(good).size == (60, 90)  # the next visitor's
    end(decoder)


def test_many_visitors_share_two_processes() -> None:
    decoder, files = IsolatedDecoder(2), [encoded("PNG"), encoded("JPEG", "L"), b"nothing"]

    def digest(number: int) -> str:
        try:
            return decoder.decode(files[number % 3]).digest
        except ImageError:
            return ""

    with ThreadPoolExecutor(12) as pool:
        digests = list(pool.map(digest, range(60)))
    assert digests == [images.decode(files[0]).digest, images.decode(files[1]).digest, ""] * 20
    assert decoder._idle.qsize() == 2
    end(decoder)
