"""Decoding an image stays below 512 MB, whatever its format and whatever its header says."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode, thumbnail
from striate.data.footprint import MAX_BYTES
from striate.data.opened import probe

LOOK = Preprocess(size=(16, 16))

MEASURE = """
import sys
from pathlib import Path
from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

raw = Path(sys.argv[1]).read_bytes()
decode(Path(sys.argv[2]).read_bytes(), Preprocess(size=(16, 16)))
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
before = status("VmRSS:")
try:
    decode(raw, Preprocess(size=(16, 16)))
    said = "decoded"
except ImageError as error:
    said = error.message
print(status("VmHWM:") - before, said)
"""


def png(width: int, height: int, colour: int, bits: int, bands: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    row = b"\0" + bytes(width * bands * bits // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encoded(format: str, side: int = 64, mode: str = "RGB", **options) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, format, **options)
    return stream.getvalue()


def jpeg2000(side: int, components: int = 3, *, tile: int | None = None, precincts: bytes = b"") -> bytes:
    """A code stream that ends after its header."""
    tile = tile or side
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, components) + b"\7\1\1" * components
    style = bytes((1 if precincts else 0, 0, 0, 1, 0, max(0, len(precincts) - 1), 4, 4, 0, 1)) + precincts
    parts = [(b"\xff\x51", size), (b"\xff\x52", style), (b"\xff\x5c", b"\x22" + b"\x48" * 16)]
    head = b"".join(name + struct.pack(">H", len(data) + 2) + data for name, data in parts)
    return b"\xff\x4f" + head + b"\xff\x90\0\x0a\0\0\0\0\0\0\0\1\xff\x93\xff\xd9"


def tiff_of_one_tile(side: int, tile: int) -> bytes:
    """A grey TIFF packed by LZW whose only tile is much larger than the image."""
    fields = {256: side, 257: side, 258: 8, 259: 5, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8, 325: 4}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return b"II*\0" + struct.pack("<IIH", 12, 0, len(fields)) + entries + bytes(4)


HUGE = {
    "PNG, 16-bit grey": lambda: png(8000, 7990, 0, 16, 1),
    "PNG, transparent": lambda: png(7700, 7700, 6, 8, 4),
    "WebP": lambda: encoded("WEBP", 5450, lossless=True, method=0),
    "AVIF": lambda: encoded("AVIF", 4900, speed=10),
    "JPEG, progressive": lambda: encoded("JPEG", 7000, progressive=True, subsampling=0),
    "JPEG, progressive, CMYK": lambda: encoded("JPEG", 5800, "CMYK", progressive=True),
    "JPEG 2000": lambda: encoded("JPEG2000", 4300, num_resolutions=1),
    "TIFF, one strip": lambda: encoded("TIFF", 8000, compression="tiff_lzw", strip_size=1 << 30),
    "TIFF, turned": lambda: encoded("TIFF", 6300, tiffinfo={274: 6}),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HUGE)
def test_the_largest_images_that_are_decoded_stay_below_512_mb(tmp_path: Path, what: str) -> None:
    (tmp_path / "huge").write_bytes(HUGE[what]())
    (tmp_path / "small").write_bytes(encoded("PNG"))
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "huge"), str(tmp_path / "small")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    grown, _, said = done.stdout.partition(" ")
    print(what, f"{int(grown) / 1e6:.0f} MB", said.strip())
    assert int(grown) < 512e6


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (jpeg2000(7900), "would take"),
        (jpeg2000(2000, 1, precincts=b"\0"), "would take"),
        (tiff_of_one_tile(64, 60_000), "would take"),
    ],
)
def test_memory_that_a_header_asks_for_is_refused_before_it_is_allocated(raw: bytes, message: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=message):
        decode(raw, LOOK)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_small_jpeg2000_is_decoded() -> None:
    assert decode(encoded("JPEG2000", 64), LOOK).shape == (16, 16, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_reading_a_header_decodes_nothing() -> None:
    raw = png(12_000, 12_000, 2, 8, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert probe(raw).width == 12_000
    with pytest.raises(ImageError, match="above the 64,000,000 pixels"):
        thumbnail(raw)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_jpeg_of_many_scans_is_refused() -> None:
    raw = encoded("JPEG", progressive=True)
    at = raw.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode(raw[:-2] + raw[at:-2] * 100 + raw[-2:], LOOK)


def test_the_limit_leaves_room_below_512_mb() -> None:
    assert MAX_BYTES < 512e6


def test_sixteen_bits_are_converted_strip_by_strip() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (1500, 1500), dtype=np.uint16)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    grey = Preprocess(size=(1500, 1500), fit="stretch", channels="grey", mean=(0,), std=(1,))
    np.testing.assert_array_equal(decode(stream.getvalue(), grey)[..., 0], (levels.astype(int) + 128) // 257)
