"""Metadata is not pixels: whatever is wrong with it, the pixels are read."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data import metadata
from striate.data.decode import decode
from striate.data.opened import probe

LOOK = Preprocess(size=(20, 30), fit="stretch")
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    if format == "WEBP":
        options |= {"lossless": True}
    Image.fromarray(PIXELS).save(stream, format, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) if crc is None else crc)
    )


def with_chunk(added: bytes, before: bytes = b"IDAT") -> bytes:
    raw = encoded()
    at = raw.index(before) - 4
    return raw[:at] + added + raw[at:]


EXIF = Image.Exif()
EXIF[274] = 6
TURNED = EXIF.tobytes().removeprefix(b"Exif\0\0")

BAD_CHUNKS = {
    "a text of 2 MB": chunk(b"tEXt", b"Comment\0" + b"x" * (2 << 20)),
    "a compressed text of 2 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * (2 << 20))),
    "a text that is cut short": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"abcdefgh" * 99)[:20]),
    "a text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", crc=1),
    "a profile of 2 MB": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2 << 20))),
    "a damaged profile": chunk(b"iCCP", b"p\0\0garbage"),
    "a chunk of a bad size": chunk(b"cHRM", b"abc"),
    "a damaged eXIf": chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("what", BAD_CHUNKS)
@pytest.mark.filterwarnings("ignore")
def test_a_png_is_read_whatever_its_metadata(what: str, before: bytes) -> None:
    raw = with_chunk(BAD_CHUNKS[what], before)
    np.testing.assert_array_equal(decode(raw, LOOK), PIXELS)
    assert probe(raw).shown == (30, 20)


@pytest.mark.parametrize("what", ["a text of 2 MB", "a damaged profile", "a damaged eXIf"])
def test_damaged_metadata_is_noticed_by_the_header(what: str) -> None:
    if what != "a damaged profile":
        assert probe(with_chunk(BAD_CHUNKS[what])).damaged_metadata
    assert not probe(encoded()).damaged_metadata


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("extra", [b"", BAD_CHUNKS["a text of 2 MB"]])
def test_a_sound_orientation_is_applied_beside_damage(extra: bytes, before: bytes) -> None:
    raw = with_chunk(extra + chunk(b"eXIf", TURNED), before)
    upright = Preprocess(size=(30, 20), fit="stretch")
    np.testing.assert_array_equal(decode(raw, upright), np.rot90(PIXELS, -1))
    assert probe(raw).shown == (20, 30)


@pytest.mark.parametrize(
    "exif", [b"garbage", b"MM\0*\0\0\0\x08\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff\1\x12", b""]
)
@pytest.mark.parametrize("format", ["WEBP", "JPEG"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_exif_is_upright(format: str, exif: bytes) -> None:
    raw = encoded(format, exif=b"Exif\0\0" + exif)
    plain = encoded(format)
    np.testing.assert_array_equal(decode(raw, LOOK), decode(plain, LOOK))
    assert probe(raw).shown == (30, 20)
    assert probe(raw).damaged_metadata == bool(exif)


@pytest.mark.filterwarnings("ignore")
def test_damage_beyond_the_orientation_is_no_matter() -> None:
    directory = struct.pack(">HHHIHH", 2, 274, 3, 1, 6, 0) + struct.pack(">HHII", 270, 2, 5000, 9999)
    for format in ("JPEG", "WEBP"):
        raw = encoded(format, exif=b"Exif\0\0MM\0*\0\0\0\x08" + directory)
        assert probe(raw).orientation == 6
        assert not probe(raw).damaged_metadata


def test_the_orientation_of_xmp_counts_where_exif_names_none() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert probe(encoded("JPEG", xmp=xmp)).orientation == 6
    assert probe(encoded("WEBP", xmp=xmp)).orientation == 6
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    assert probe(encoded("PNG", pnginfo=info)).orientation == 6
    assert probe(encoded("JPEG", xmp=xmp, exif=EXIF_UPRIGHT)).orientation == 1


EXIF_UPRIGHT = Image.Exif()
EXIF_UPRIGHT[274] = 1


def test_leaving_metadata_out_changes_no_pixel() -> None:
    exif, icc = TURNED, b"profile" * 50
    for format in ("JPEG", "PNG", "WEBP"):
        raw = encoded(format, exif=b"Exif\0\0" + exif, icc_profile=icc)
        bare = metadata.without(raw)
        assert bare is not None
        assert exif not in bare
        assert icc not in bare
        np.testing.assert_array_equal(decode(bare, LOOK), np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")))
        assert metadata.find(raw).orientation == 6
        assert metadata.without(bare) is None
    cmyk = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(cmyk, "JPEG", icc_profile=icc)
    bare = metadata.without(cmyk.getvalue())
    assert bare is not None
    np.testing.assert_array_equal(decode(bare, LOOK), decode(cmyk.getvalue(), LOOK))


def test_damaged_pixels_are_not_excused() -> None:
    raw = with_chunk(BAD_CHUNKS["a text of 2 MB"])
    with pytest.raises(ImageError):
        decode(raw[:-400], LOOK)


def test_an_avif_is_read_without_its_damaged_exif() -> None:
    exif = Image.Exif()
    exif[270] = "a description that is kept in the file"
    raw = encoded("AVIF", exif=exif)
    at = raw.index(b"MM\0*" if b"MM\0*" in raw else b"II*\0")
    broken = raw[:at] + b"garbage!" + raw[at + 8 :]
    np.testing.assert_array_equal(decode(broken, LOOK), decode(encoded("AVIF"), LOOK))
