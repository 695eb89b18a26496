"""What comes out of an uploaded file, against Pillow by hand."""

import hashlib
import io
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from explorer.pictures import heic, images
from explorer.pictures.images import ImageError
from tests.helpers import assert_one_sentence, picture, smooth

heic.can_read()  # from now on Pillow writes it, too
LOSSLESS = {"WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}, "AVIF": {"speed": 10}}


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **{**LOSSLESS.get(format, {}), **options})
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    """A PNG whose header says what it is told to, whatever the rows are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        images.decode(data)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


# --- files that are read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", images.FORMATS)
def test_every_accepted_format_gives_its_pixels(format: str) -> None:
    source = smooth(40, 56, period=1.0)
    data = encode(Image.fromarray(source), format)
    image = images.decode(data)
    assert image.digest == hashlib.sha256(data).hexdigest()
    assert image.size == (40, 56)
    assert image.notes == ()
    assert image.rgb.dtype == np.uint8
    assert image.rgb.flags.c_contiguous
    assert not image.rgb.flags.writeable
    error = np.abs(image.rgb.astype(int) - source)
    if format in ("JPEG", "AVIF", "GIF", "HEIF"):
        assert error.mean() < 12
    else:
        assert error.max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_colour_modes_are_converted_without_a_note(mode: str) -> None:
    grey = mode in ("1", "L", "LA")
    source = Image.new("RGB", (8, 6), "white" if grey else (200, 30, 60))
    source.paste("black" if grey else (10, 120, 250), (0, 0, 4, 6))
    converted = source.quantize(2) if mode == "P" else source.convert(mode)
    image = images.decode(encode(converted, "TIFF" if mode == "CMYK" else "PNG"))
    np.testing.assert_allclose(image.rgb, np.asarray(source), atol=2)
    assert image.notes == ()


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    image = images.decode(encode(Image.new("RGB", (16, 16), (230, 40, 40)).convert("CMYK"), "JPEG", quality=95))
    np.testing.assert_allclose(image.rgb, np.broadcast_to([230, 40, 40], (16, 16, 3)), atol=6)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_full_range(format: str) -> None:
    values = np.linspace(0, 65535, 16 * 20).reshape(16, 20).round().astype(np.uint16)
    image = images.decode(encode(Image.fromarray(values), format))
    np.testing.assert_array_equal(image.rgb, np.rint(values / 257).astype(np.uint8)[..., None].repeat(3, axis=-1))


def test_sixteen_bit_colour_keeps_its_high_byte() -> None:
    values = np.arange(0, 65536, 65536 // 12, dtype=np.uint16)[:12].reshape(2, 2, 3)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    np.testing.assert_array_equal(images.decode(png(2, 2, rows, depth=16, colour=2)).rgb, values >> 8)


def test_a_float_tiff_is_scaled_by_its_finite_values() -> None:
    values = np.linspace(-3e38, 3e38, 64, dtype=np.float32).reshape(8, 8)
    values[0, 1], values[0, 2] = np.nan, np.inf
    image = images.decode(encode(Image.fromarray(values), "TIFF"))
    assert (image.rgb[0, 0, 0], image.rgb[-1, -1, 0]) == (0, 255)
    assert (np.diff(image.rgb[1:, :, 0].ravel().astype(int)) > 0).all()
    assert not image.rgb[0, 1:3].any()
    assert len(image.notes) == 1
    assert_one_sentence(image.notes[0])


def test_integers_of_32_bits_and_constant_values_are_scaled_too() -> None:
    wide = images.decode(encode(Image.fromarray(np.array([[-70000, 0, 70000]], dtype=np.int32)), "TIFF"))
    assert wide.rgb[0, :, 0].tolist() == [0, 128, 255]
    assert not images.decode(encode(Image.fromarray(np.full((2, 2), 1.5, np.float32)), "TIFF")).rgb.any()
    assert "finite" in refusal(encode(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"))


def test_transparency_is_laid_on_white_and_said() -> None:
    image = images.decode(encode(Image.new("RGBA", (4, 4), (255, 0, 0, 128)), "PNG"))
    np.testing.assert_allclose(image.rgb, np.broadcast_to([255, 127, 127], (4, 4, 3)), atol=1)
    assert "white" in image.notes[0]
    assert_one_sentence(image.notes[0])


def transparent_palette(format: str) -> bytes:
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    return encode(palette, format, transparency=0)


@pytest.mark.parametrize(
    "data",
    [
        transparent_palette("PNG"),
        transparent_palette("GIF"),
        png(2, 1, b"\0\x12\x34\xff\xff", depth=16, extra=chunk(b"tRNS", b"\x12\x34")),
        png(2, 1, b"\0\x12\xff", extra=chunk(b"tRNS", b"\0\x12")),
        png(2, 1, b"\0\x12\0\xff\xff", colour=4),
    ],
    ids=["palette", "gif", "grey16", "grey8", "grey-alpha"],
)
def test_every_kind_of_transparency_is_seen(data: bytes) -> None:
    image = images.decode(data)
    assert image.rgb[0, 0].tolist() == [255, 255, 255]
    assert len(image.notes) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_exif_orientation_is_applied_once(format: str, orientation: int) -> None:
    source = Image.fromarray(smooth(24, 40, period=1.5))
    exif = Image.Exif()
    exif[0x0112] = orientation
    source.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(source)).astype(int)
    turned = Image.fromarray(np.asarray(source))
    turned.info["exif"] = exif.tobytes()  # of which a HEIC's container is made
    image = images.decode(encode(turned, format, **({} if format == heic.FORMAT else {"exif": exif})))
    assert image.rgb.shape == expected.shape
    assert np.abs(image.rgb - expected).mean() < 8
    assert image.notes == ()


@pytest.mark.filterwarnings("ignore")  # as in the app, where Pillow's complaints are no errors
def test_broken_exif_data_and_colour_profiles_leave_the_pixels_alone() -> None:
    source = picture(1)
    plain = images.decode(encode(source, "JPEG")).rgb
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for options in ({"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}, {"exif": b"Exif\0\0"}, {"icc_profile": profile}):
        np.testing.assert_array_equal(images.decode(encode(source, "JPEG", **options)).rgb, plain)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"])
def test_of_several_pictures_the_first_is_shown_and_that_is_said(format: str) -> None:
    first, second = Image.new("RGB", (16, 16), (255, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 255))
    image = images.decode(encode(first, format, save_all=True, append_images=[second]))
    np.testing.assert_allclose(image.rgb, np.asarray(first), atol=4)
    assert "first" in image.notes[0]
    assert_one_sentence(image.notes[0])


@pytest.mark.parametrize("format", ["GIF", "PNG"])
def test_a_broken_second_picture_leaves_the_first(format: str) -> None:
    data = encode(picture(1), format, save_all=True, append_images=[picture(2)])
    assert images.decode(data[: int(0.75 * len(data))]).size == (32, 32)


# --- sizes --------------------------------------------------------------------------------------------------------


def test_large_pictures_are_kept_at_1024_px_with_their_aspect() -> None:
    for mode in ("RGB", "RGBA"):
        data = encode(Image.new(mode, (1100, 2200), "red"), "PNG")
        assert images.decode(data).size == (2048, 1024)
    assert images.decode(encode(Image.new("L", (4096, 2100)), "JPEG")).size == (1024, 1997)


def test_the_smallest_picture_is_one_pixel() -> None:
    assert images.decode(encode(Image.new("RGB", (1, 1), "red"), "PNG")).rgb.tolist() == [[[255, 0, 0]]]


def test_the_longest_aspect_is_twenty() -> None:
    assert images.decode(encode(Image.new("L", (40, 2)), "PNG")).size == (2, 40)
    assert "41 x 2" in refusal(encode(Image.new("L", (41, 2)), "PNG"))


def peak_of(work: Callable[[], object]) -> int:
    """Bytes by which the resident memory of this process rises above its start while it works (Linux)."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        clear.write_text("5")  # sets the high-water mark back
    except OSError:
        pytest.skip("the kernel does not let a process reset its high-water mark")

    def high_water() -> int:
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024

    before = high_water()
    work()
    return high_water() - before


BOMBS = {
    "one by 5000": png(1, 5000, b"\0\0" * 5000),
    "49 megapixels": png(7000, 7000, b"\0" * 10_000),
    "144 megapixels": png(12_000, 12_000, b"\0" * 10_000),
    "900 megapixels": png(30_000, 30_000, b"\0" * 10_000),
    "lying gif": b"GIF89a\xff\xff\xff\xff" + encode(picture(0), "GIF")[10:],
    "lying webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x2f\0\xff\x2f\0VP8 \0\0\0\0",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_within_20_mb(name: str) -> None:
    images.decode(encode(picture(0), "WEBP"))  # plugins are loaded on first use
    tracemalloc.start()
    try:
        assert peak_of(lambda: refusal(BOMBS[name])) < 20e6
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_header_within_the_limits_that_lies_is_refused_quickly() -> None:
    start = time.process_time()
    assert "PNG" in refusal(png(6000, 6000, b"\0" * 10_000))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("action", ["ignore", "default", "error"])
def test_pillows_bomb_warning_ends_in_the_same_refusal(action: Literal["ignore", "default", "error"]) -> None:
    with warnings.catch_warnings(record=True):
        warnings.simplefilter(action)
        assert "40 megapixels" in refusal(BOMBS["144 megapixels"])


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_SHORT_SIDE", 16)
    monkeypatch.setattr(images, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(images, "MAX_STREAMED_PIXELS", 40_000)


@pytest.mark.usefixtures("small_limits")
def test_a_jpeg_counts_with_what_is_decoded_of_it() -> None:
    large = picture(0, (160, 160))
    assert images.decode(encode(large, "JPEG")).size == (16, 16)
    refusal(encode(large, "PNG"))
    refusal(encode(large, "JPEG", progressive=True))  # decodes to coefficients of the full size
    baseline = encode(large, "JPEG")
    scan = baseline.index(b"\xff\xda")
    one_colour = baseline[: scan + 4] + b"\x01" + baseline[scan + 5 :]
    refusal(one_colour)  # one scan per colour does so too
    refusal(encode(picture(0, (210, 210)), "JPEG"))


def test_a_jpeg_of_too_many_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture(0), "JPEG", progressive=True)
    assert images.decode(data).size == (32, 32)
    monkeypatch.setattr(images, "MAX_SCANS", 3)
    assert "scans" in refusal(data)
    assert images.decode(encode(picture(0), "JPEG")).size == (32, 32)


# --- files that are refused ---------------------------------------------------------------------------------------


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat.png", b"pixels")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "an empty file"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41" + bytes(40), "a video file"),
        (zipped(), "ZIP"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"Dear reader,\n", "a text file"),
        (bytes(range(256)), "something else"),
        (encode(picture(0), "EPS"), "PostScript"),
        (encode(picture(0), "JPEG2000"), "JPEG 2000"),
        (encode(picture(0), "ICO"), "icon"),
        (encode(picture(0), "PPM"), "something else"),
        (encode(picture(0), "TGA"), "something else"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound"),
    ],
)
def test_what_is_no_accepted_image_is_named(data: bytes, named: str) -> None:
    message = refusal(data)
    assert named in message
    assert "JPEG, PNG" in message


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("format", images.FORMATS)
def test_a_file_cut_short_is_refused_by_its_format(format: str, share: float) -> None:
    data = encode(picture(0), format)
    name = "HEIC" if format == heic.FORMAT else format
    assert name.lower() in refusal(data[: int(share * len(data))]).lower()


# --- what phones make ---------------------------------------------------------------------------------------------


def test_a_heic_of_nothing_is_a_damaged_heic_and_no_video() -> None:
    assert "complete HEIC" in refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))


def test_without_its_library_a_heic_is_named_and_so_is_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture(0), "HEIF")
    monkeypatch.setattr(heic, "can_read", lambda: False)
    message = refusal(data)
    assert "HEIC" in message
    assert "pillow-heif is not installed" in message
    assert images.decode(encode(picture(0), "AVIF")).size == (32, 32), "of which Pillow reads some brands itself"


def sized(data: bytes, width: int, height: int) -> bytes:
    """A HEIC whose container says another size than its pixels have."""
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


@pytest.mark.parametrize("side", [32, 64])
def test_a_heic_is_refused_by_its_header(side: int) -> None:
    """Also where 32 x 32 px of a larger picture are shown, which is how the encoder writes them."""
    sound = encode(picture(0, (side, side)), "HEIF")
    assert (b"clap" in sound) == (side == 32)
    images.decode(sound)  # the library is loaded on first use
    data = sized(sound, 7000, 7000)
    assert peak_of(lambda: refusal(data)) < 20e6
    assert "40 megapixels" in refusal(data)


def test_a_long_heic_is_refused_by_its_header() -> None:
    assert "2100 x 64" in refusal(sized(encode(picture(0, (64, 64)), "HEIF"), 2100, 64))


def test_a_heic_whose_pixels_are_of_another_size_than_it_says_is_refused() -> None:
    data = encode(Image.new("RGB", (640, 480), "teal"), "HEIF")
    assert "complete HEIC" in refusal(sized(data, 64, 48))


def test_no_other_picture_of_a_heic_stands_in_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_SHORT_SIDE", 16)
    data = encode(picture(0, (96, 96)), "HEIF")
    image = Image.open(io.BytesIO(encode(picture(0, (96, 96)), "HEIF", thumbnails=[48])), formats=["HEIF"])
    image.draft(None, (16, 16))
    assert image.size == (96, 96)
    assert images.decode(data).size == (16, 16)


def test_a_heic_is_turned_by_its_container_and_not_by_exif() -> None:
    """ISO/IEC 23008-12: what Exif says beside `irot` and `imir` has no meaning."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.new("RGB", (40, 24), "teal"), "HEIF", exif=exif)
    assert b"irot" not in data
    assert images.decode(data).size == (24, 40)


def test_a_heic_in_another_colour_space_is_converted() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert images.decode(encode(picture(0), "HEIF", icc_profile=profile)).notes == ()
    broken = images.decode(encode(picture(0), "HEIF", icc_profile=b"not a profile"))
    assert "profile" in broken.notes[0]


def test_bad_checksums_are_refused() -> None:
    data = bytearray(encode(picture(0), "PNG", compress_level=0))
    for place in (data.index(b"IHDR") + 17, data.index(b"IDAT") + 900):  # the header's checksum, a pixel
        broken = data.copy()
        broken[place] ^= 1
        assert "PNG" in refusal(bytes(broken))


ERRORS = (MemoryError, SyntaxError, struct.error, OverflowError, ValueError, zlib.error, KeyError, RecursionError)
BOMB_ERRORS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@pytest.mark.parametrize("error", [*ERRORS, *BOMB_ERRORS, EOFError, AttributeError, UserWarning])
def test_whatever_pillow_raises_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("of Pillow")

    monkeypatch.setattr(Image.Image, "convert", fail)
    refusal(encode(Image.new("L", (2, 2)), "PNG"))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"\xff\xd8\xff"]), st.binary(max_size=99)
)
def test_nothing_but_image_error_escapes_from_bytes(magic: bytes, rest: bytes) -> None:
    try:
        images.decode(magic + rest)
    except ImageError as error:
        assert_one_sentence(str(error))
