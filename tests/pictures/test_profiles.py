"""Colour profiles, made here byte by byte, against their own matrices and curves in float64."""

import random
import struct
import time
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from explorer.pictures import images, profiles
from tests.helpers import assert_one_sentence, smooth
from tests.pictures.test_images import encode

ADOBE = ((0.6400, 0.3300), (0.2100, 0.7100), (0.1500, 0.0600))
P3 = ((0.6800, 0.3200), (0.2650, 0.6900), (0.1500, 0.0600))
SRGB = ((0.6400, 0.3300), (0.3000, 0.6000), (0.1500, 0.0600))
"""Where red, green and blue stand, x and y, under D65."""
D65, D50 = (0.95047, 1.0, 1.08883), (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
GAMMA = 563 / 256  # 2.19921875, Adobe RGB's


# --- the colours, in float64 --------------------------------------------------------------------------------------


def to_d50(primaries: Sequence[tuple[float, float]]) -> np.ndarray:
    """From linear red, green and blue to XYZ under D50, where profiles connect (Lindbloom's recipe)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    adapted = np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / (BRADFORD @ D65)) @ BRADFORD
    return adapted @ columns * np.linalg.solve(columns, D65)


def linear(values: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(values: np.ndarray) -> np.ndarray:
    clipped = np.clip(values, 0, 1)
    return np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)


def in_srgb(light: np.ndarray, primaries: Sequence[tuple[float, float]]) -> np.ndarray:
    """Levels of sRGB for linear red, green and blue of other primaries."""
    return 255 * encoded(light @ to_d50(primaries).T @ np.linalg.inv(to_d50(SRGB)).T)


# --- the bytes of a profile (ICC.1:2001-04) -----------------------------------------------------------------------


def description(name: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(1 + 78)


def xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in values))


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma))


def srgb_curve() -> bytes:
    table = np.rint(65535 * linear(np.linspace(0, 1, 1024))).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(table)) + table.tobytes()


def icc(tags: dict[str, bytes], space: str = "RGB ", kind: str = "mntr", connection: str = "XYZ ") -> bytes:
    bodies, table = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name.encode() + struct.pack(">II", start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    white = struct.pack(">3i", *(round(65536 * value) for value in D50))
    size = struct.pack(">I", start + len(bodies))
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    head = size + bytes(4) + bytes([2, 16, 0, 0]) + (kind + space + connection).encode() + date
    head += b"acsp" + bytes(28) + white
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + bodies


def matrix_profile(primaries: Sequence[tuple[float, float]], curve: bytes, name: str = "A screen") -> bytes:
    colours = {f"{c}XYZ": xyz(column) for c, column in zip("rgb", to_d50(primaries).T, strict=True)}
    curves = {f"{c}TRC": curve for c in "rgb"}
    return icc({"desc": description(name), "cprt": b"text\0\0\0\0none\0", "wtpt": xyz(D50), **colours, **curves})


def grey_profile(gamma: float) -> bytes:
    return icc({"desc": description("Grey"), "wtpt": xyz(D50), "kTRC": gamma_curve(gamma)}, space="GRAY")


def print_profile() -> bytes:
    """Ink as Lab in a grid of two: `L = 100 - 25 (c + m + y + k)` and no colour, at every corner."""
    corners = np.array(np.meshgrid(*[[0, 1]] * 4, indexing="ij")).reshape(4, -1).sum(0)
    lab = np.stack([np.rint(255 * (1 - corners / 4)), np.full(16, 128), np.full(16, 128)], -1).astype(np.uint8)
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel().tolist())
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + lab.tobytes() + identity * 3
    tags = {"desc": description("Ink"), "wtpt": xyz(D50), "A2B0": table, "A2B1": table}
    return icc(tags, space="CMYK", kind="prtr", connection="Lab ")


WIDE = {
    "Adobe RGB (1998)": (ADOBE, gamma_curve(GAMMA), lambda levels: levels**GAMMA),
    "Display P3": (P3, srgb_curve(), linear),
}


# --- what is converted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", WIDE)
def test_wide_colours_are_those_of_the_profiles_matrix_and_curves(name: str, format: str) -> None:
    primaries, curve, to_linear = WIDE[name]
    source = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    profile = matrix_profile(primaries, curve, name)
    image = images.decode(encode(Image.fromarray(source), format, icc_profile=profile))
    expected = in_srgb(to_linear(source / 255), primaries)
    assert np.abs(image.rgb - expected).max() <= 1.5
    assert np.abs(source - expected).max() > 20  # read as sRGB it would be far off
    assert image.notes == (f"Colours are converted to sRGB from the file's profile, {name}.",)
    assert_one_sentence(image.notes[0])


def test_the_same_holds_where_a_jpeg_is_decoded_smaller() -> None:
    source = Image.fromarray(smooth(2100, 2800, period=0.5))
    profile = matrix_profile(ADOBE, gamma_curve(GAMMA))
    plain = images.decode(encode(source, "JPEG", quality=95))
    wide = images.decode(encode(source, "JPEG", quality=95, icc_profile=profile))
    assert wide.size == plain.size == (1024, 1365)
    assert np.abs(wide.rgb - in_srgb((plain.rgb / 255) ** GAMMA, ADOBE)).max() <= 2


@pytest.mark.parametrize("profile", ["LittleCMS's", "one of ours"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_srgb_changes_nothing_and_is_not_said(profile: str, mode: str) -> None:
    if profile == "one of ours":
        data = matrix_profile(SRGB, srgb_curve(), "sRGB IEC61966-2.1")
    else:
        data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = Image.fromarray(smooth(40, 56)).convert(mode)
    plain, same = (images.decode(encode(source, "PNG", **options)) for options in ({}, {"icc_profile": data}))
    np.testing.assert_array_equal(same.rgb, plain.rgb)
    assert same.notes == plain.notes == ()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_grey_values_follow_their_curve(gamma: float, depth: int) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    source = levels if depth == 8 else levels.astype(np.uint16) * 257
    image = images.decode(encode(Image.fromarray(source), "PNG", icc_profile=grey_profile(gamma)))
    expected = 255 * encoded((levels / 255) ** (round(256 * gamma) / 256))
    assert np.abs(image.rgb - expected[..., None]).max() <= 1
    assert len(image.notes) == 1


def test_grey_pixels_may_have_a_profile_of_colours() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    profile = matrix_profile(P3, gamma_curve(1.8))
    image = images.decode(encode(Image.fromarray(levels), "JPEG", quality=100, icc_profile=profile))
    expected = 255 * encoded((levels / 255) ** (round(256 * 1.8) / 256))
    assert np.abs(image.rgb - expected[..., None]).max() <= 3  # JPEG's own included


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_not_a_colour(mode: str) -> None:
    """Colours are converted first, and laid on white in sRGB."""
    source = Image.new(mode, (4, 4), (60, 200, 90, 128)[-len(mode) :] if mode == "RGBA" else (90, 128))
    gamma = 1.8
    profile = matrix_profile(ADOBE, gamma_curve(gamma)) if mode == "RGBA" else grey_profile(gamma)
    image = images.decode(encode(source, "PNG", icc_profile=profile))
    light = (np.array(source.getpixel((0, 0))[:-1]) / 255) ** (round(256 * gamma) / 256)
    colour = in_srgb(light, ADOBE) if mode == "RGBA" else 255 * encoded(light).repeat(3)
    assert np.abs(image.rgb - (255 + (colour - 255) * 128 / 255)).max() <= 2
    assert len(image.notes) == 2


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_ink_is_read_as_its_profile_says(format: str) -> None:
    for ink in ((0, 0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 102), (51, 51, 0, 102)):
        source = Image.new("CMYK", (16, 16), ink)
        image = images.decode(encode(source, format, icc_profile=print_profile()))
        lightness = 100 - sum(ink) / 255 * 25
        light = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3
        assert np.abs(image.rgb - 255 * encoded(np.array(light))).max() <= 3, ink
        assert image.notes == ("Colours are converted to sRGB from the file's profile, Ink.",)


def test_a_name_of_somebody_else_is_short_and_visible() -> None:
    profile = matrix_profile(P3, srgb_curve(), "wide\n\x07 " + 100 * "x")
    (note,) = images.decode(encode(Image.new("RGB", (4, 4)), "PNG", icc_profile=profile)).notes
    assert note == f"Colours are converted to sRGB from the file's profile, wide {55 * 'x'}."


# --- what is refused ----------------------------------------------------------------------------------------------


def chain() -> bytes:
    """A hundred thousand matrices that are one and the same, over and over, in 800 KB."""
    count = 100_000
    matrix = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    head = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count)
    step = head + struct.pack(">II", len(head) + 8 * count, len(matrix)) * count + matrix
    return icc({"desc": description("Chain"), "wtpt": xyz(D50), "D2B0": step, "D2B1": step})


WIDE_PROFILE = matrix_profile(ADOBE, gamma_curve(GAMMA))
REFUSED = {
    "damaged": (b"x" * 36 + WIDE_PROFILE[36:], "RGB"),
    "no profile": (b"not a profile", "RGB"),
    "cut short": (WIDE_PROFILE[:300], "RGB"),
    "without its curves": (icc({"desc": description("Empty")}), "RGB"),
    "larger": (WIDE_PROFILE + bytes(profiles.MAX_BYTES), "RGB"),
    "of ink": (print_profile(), "RGB"),
    "of grey": (grey_profile(1.8), "RGB"),
    "of colours": (WIDE_PROFILE, "CMYK"),
    "a link": (icc({}, kind="link"), "RGB"),
    "a chain": (chain(), "RGB"),
    "of Lab": (ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), "RGB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_profile_is_refused_in_a_sentence_and_the_photograph_is_not(name: str) -> None:
    profile, mode = REFUSED[name]
    source = Image.fromarray(smooth(20, 24)).convert(mode)
    plain = images.decode(encode(source, "TIFF"))
    started = time.process_time()
    image = images.decode(encode(source, "TIFF", icc_profile=profile))
    assert time.process_time() - started < 2
    np.testing.assert_array_equal(image.rgb, plain.rgb)
    (note,) = image.notes
    assert_one_sentence(note)
    assert "read as sRGB" in note


def test_a_pillow_without_littlecms_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda _: False)
    (note,) = images.decode(encode(Image.new("RGB", (4, 4)), "PNG", icc_profile=WIDE_PROFILE)).notes
    assert "LittleCMS" in note
    assert_one_sentence(note)


@pytest.mark.parametrize("name", ["matrix", "grey", "ink"])
def test_damaged_profiles_are_used_or_refused_soon(name: str) -> None:
    profile, mode = {
        "matrix": (WIDE_PROFILE, "RGB"),
        "grey": (grey_profile(1.8), "L"),
        "ink": (print_profile(), "CMYK"),
    }[name]
    source = Image.fromarray(smooth(20, 24)).convert(mode)
    for number in range(150):
        chance = random.Random(number)
        broken = bytearray(profile)
        for _ in range(chance.choice((1, 1, 2, 5))):
            place = chance.randrange(min(len(broken), chance.choice((132, 300, 10**6))))
            broken[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        started = time.process_time()
        image = images.decode(encode(source, "TIFF", icc_profile=bytes(broken)))
        assert time.process_time() - started < 2, number
        assert image.size == (20, 24)
        assert len(image.notes) <= 1
