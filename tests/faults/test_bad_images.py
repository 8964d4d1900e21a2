from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.data.opened import probe

LOOK = Preprocess(size=(32, 32))


def encoded(format: str, width: int = 64, height: int = 48, **options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>404 not found</html>", "the file is an HTML page"),
        (b"\x00\x01\x02" * 50, "not an image in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "the file is PostScript"),
        (b"404 not found", "text, not an image"),
    ],
)
def test_what_is_no_image(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(raw, LOOK)
    with pytest.raises(ImageError, match=message):
        probe(raw)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("fast", [False, True])
def test_cut_short(format: str, share: float, fast: bool) -> None:
    raw = encoded(format)
    with pytest.raises(ImageError):
        decode(raw[: int(share * len(raw))], LOOK, fast=fast)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "WEBP"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
def test_damage_is_an_image_error_or_an_image(format: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = bytearray(encoded(format))
    for place in rng.integers(0, len(raw), 20):
        raw[place] = rng.integers(0, 256)
    with contextlib.suppress(ImageError):
        assert decode(bytes(raw), LOOK).shape == (32, 32, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("sides", [(100_000, 100_000), (8001, 8000), (10_000, 10_000), (2**31 - 1, 1)])
def test_bombs_are_refused_by_their_header(sides: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"too large|above the 64,000,000 pixels"):
        decode(png_header(*sides), LOOK)


def test_bombs_are_refused_where_warnings_are_errors() -> None:
    with pytest.raises(ImageError, match="too large"):
        decode(png_header(10_000, 10_000), LOOK)


def test_the_limit_can_be_set() -> None:
    with pytest.raises(ImageError, match="64 x 48 px, above the 100 pixels"):
        decode(encoded("PNG"), LOOK, max_pixels=100)


@pytest.mark.parametrize("sides", [(1, 1), (30_000, 40), (40, 30_000), (30_000, 1), (1, 2), (3, 1)])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("fast", [False, True])
def test_unusual_sizes(sides: tuple[int, int], format: str, fast: bool) -> None:
    pixels = decode(encoded(format, *sides), Preprocess(size=(224, 224), resize=256), fast=fast)
    assert pixels.shape == (224, 224, 3)
    assert pixels.any()
    assert decode(encoded(format, *sides), Preprocess(size=(8, 8), fit="stretch"), fast=fast).shape == (8, 8, 3)


def test_pillow_is_left_as_it_was() -> None:
    from PIL import ImageFile

    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    decode(encoded("JPEG"), LOOK)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_ghostscript_is_never_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from PIL import EpsImagePlugin

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was asked for")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", fail)
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "EPS")
    with pytest.raises(ImageError):
        decode(stream.getvalue(), LOOK)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


MANY = {
    "PNG texts": lambda: encoded("PNG")[:33] + png_chunk(b"tEXt", b"k\0v") * 400_000 + encoded("PNG")[33:],
    "PNG pixels": lambda: encoded("PNG")[:33] + png_chunk(b"IDAT", b"") * 400_000 + encoded("PNG")[33:],
    "JPEG fill bytes": lambda: b"\xff\xd8" + b"\xff" * 5_000_000 + encoded("JPEG")[2:],
    "JPEG segments": lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * 2_000_000 + encoded("JPEG")[2:],
    "JPEG 2000 boxes": lambda: b"\0\0\0\x0cjP  \x0d\x0a\x87\x0a" + b"\0\0\0\x08free" * 1_000_000,
    "JPEG 2000 streams": lambda: encoded("JPEG2000") + b"\xff\x4f\xff\x51" * 1_000_000,
    "GIF comments": lambda: b"GIF89a\4\0\4\0\0\0\0!\xfe" + b"\1x" * 4_000_000 + b"\0",
}


@pytest.mark.parametrize("what", MANY)
def test_files_of_millions_of_tiny_parts_are_refused_soon(what: str) -> None:
    raw = MANY[what]()
    began = time.process_time()
    with pytest.raises(ImageError, match=r"too many small parts|more than 200,000 parts|more than 100 code streams"):
        decode(raw, LOOK)
    assert time.process_time() - began < 5


def test_a_large_gif_is_not_made_of_too_many_parts() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "GIF", save_all=True, append_images=[Image.fromarray(noise.T)])
    assert probe(stream.getvalue()).animated
    assert decode(stream.getvalue(), LOOK).any()


@pytest.mark.parametrize("sides", [(1, 1_000_001), (1_000_001, 1)])
def test_sides_of_more_than_a_million_are_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="a side may have"):
        decode(png_header(*sides), LOOK)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="no pixels"):
        decode(np.zeros((0, 5, 3), dtype=np.uint8), LOOK)
