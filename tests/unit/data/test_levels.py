"""Grey of more than 8 bits means what its file says, or is refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode, largest_sample
from striate.data.opened import probe

GREY = Preprocess(size=(4, 6), fit="stretch", channels="grey", mean=(0,), std=(1,))
LONG, SHORT = 4, 3


def tiff(
    pixels: bytes, *, bits: int, white_is_zero: bool = False, sample_format: int | None = None, order="<"
) -> bytes:
    """An uncompressed grey TIFF of 6 x 4 px, written by hand."""
    fields = {256: 6, 257: 4, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 0, 277: 1, 278: 4, 279: len(pixels)}
    if sample_format is not None:
        fields[339] = sample_format
    fields[273] = 8 + 2 + 12 * len(fields) + 4
    entries = b"".join(struct.pack(f"{order}HHII", tag, LONG, 1, value) for tag, value in sorted(fields.items()))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + pixels


def grey(raw: bytes) -> np.ndarray:
    return decode(raw, GREY)[..., 0]


RAMP = np.arange(24) * 178  # up to 4,094
EIGHT_BITS = np.rint(RAMP * 255 / 4095).astype(int)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_sixteen_bits(order: str, white_is_zero: bool) -> None:
    levels = np.arange(24) * 2849
    raw = tiff(levels.astype(f"{order}u2").tobytes(), bits=16, white_is_zero=white_is_zero, order=order)
    expected = np.rint((65535 - levels if white_is_zero else levels) / 257).reshape(4, 6)
    np.testing.assert_array_equal(grey(raw), expected)


def test_twelve_bits_that_are_declared_fill_the_range() -> None:
    pairs = RAMP.reshape(-1, 2).tolist()
    packed = b"".join(bytes((a >> 4, (a & 15) << 4 | b >> 8, b & 255)) for a, b in pairs)
    raw = tiff(packed, bits=12)
    assert probe(raw).bits == 12
    np.testing.assert_array_equal(grey(raw), EIGHT_BITS.reshape(4, 6))
    assert largest_sample(raw) is None


@pytest.mark.parametrize(
    ("dtype", "bits", "sample_format", "what"),
    [
        ("<i2", 16, 2, "signed integers"),
        ("<i4", 32, 2, "signed integers"),
        ("<i1", 8, 2, "signed integers"),
        ("<u4", 32, 1, "32-bit integers"),
        ("<f4", 32, 3, "floating-point numbers"),
    ],
)
def test_samples_of_unknown_range_are_refused(dtype: str, bits: int, sample_format: int, what: str) -> None:
    raw = tiff(np.arange(24).astype(dtype).tobytes(), bits=bits, sample_format=sample_format)
    assert probe(raw).width == 6
    with pytest.raises(ImageError, match=f"the image holds {what} of unknown range"):
        decode(raw, GREY)
    with pytest.raises(ImageError, match=what):
        decode(Image.open(io.BytesIO(raw)), GREY)


def test_pil_images_of_32_bits_are_refused_and_of_16_bits_are_read() -> None:
    with pytest.raises(ImageError, match="32-bit integers"):
        decode(Image.new("I", (6, 4), 100), GREY)
    assert (decode(Image.fromarray(np.full((4, 6), 25700, np.uint16)), GREY) == 100).all()


def test_a_transparent_level_is_white() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 6), 500, np.uint16)).save(stream, "PNG")
    raw = stream.getvalue()
    chunk = b"tRNS" + struct.pack(">H", 500)
    at = raw.index(b"IDAT") - 4
    assert (grey(raw) == 2).all()
    marked = raw[:at] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + raw[at:]
    assert (grey(marked) == 255).all()


@pytest.mark.parametrize(("maxval", "level"), [(4095, 4095), (65535, 65535), (1000, 500)])
def test_a_pgm_is_scaled_by_its_largest_value(maxval: int, level: int) -> None:
    raw = f"P5 6 4 {maxval}\n".encode() + struct.pack(">H", level) * 24
    assert abs(int(grey(raw)[0, 0]) - 255 * level / maxval) <= 0.5


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_the_largest_sample_of_16_bits(format: str) -> None:
    for level in (0, 4095, 4096, 65535):
        stream = io.BytesIO()
        Image.fromarray(np.array([[0, level]] * 4, np.uint16)).save(stream, format)
        assert probe(stream.getvalue()).bits == 16
        assert largest_sample(stream.getvalue()) == level
    stream = io.BytesIO()
    Image.new("L", (4, 4), 200).save(stream, format)
    assert largest_sample(stream.getvalue()) is None


def test_the_largest_sample_of_16_bit_colour_is_known_by_its_high_byte() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    for level in (3000, 4095, 4096, 60000):
        rows = (b"\0" + struct.pack(">3H", level, 7, 0) * 6) * 4
        header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
        raw = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        found = largest_sample(raw)
        assert found is not None
        assert (found <= 4095) == (level <= 4095)
