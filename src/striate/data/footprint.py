"""What decoding an image will take in memory, computed from its header before anything is decoded.

A header of a few bytes can ask for gigabytes. The figures are upper bounds of what Pillow and the libraries below it
allocate; `tests/faults/test_decoding_memory.py` measures the peak memory of each format.
"""

from __future__ import annotations

import contextlib
import math
import struct

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from striate.core.errors import ImageError

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused before they are decoded."""

MAX_SIDE = 1_000_000
"""Images with a longer side are refused: decoders take some time for each row, however short."""

MAX_BYTES = 460 << 20
"""Images whose decoding would take more memory are refused before they are decoded."""

MAX_SCANS = 100
"""A JPEG with more scans is refused: each one runs over the whole image. Encoders write about ten."""

_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes per pixel in Pillow; in all other modes it is 4."""

_ELSEWHERE = {"WEBP": 12, "AVIF": 16, "HEIF": 16}
"""Bytes per pixel that the library of a format holds beside Pillow's own: its canvas and a copy of the result."""

_SIMPLE = frozenset({"PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "AVIF", "HEIF"})
"""Formats whose memory depends on the size and the mode alone."""
_MOST_A_PIXEL = 24

_JPEG_SCAN = b"\xff\xda"
_JPEG2000_START = b"\xff\x4f\xff\x51"
_JPEG2000_STYLE = b"\xff\x52"
_MAX_STREAMS = 100
_BLOCK_BYTES = 300
"""What OpenJPEG holds for each code block and precinct, tag trees included."""

_TIFF_TILE = (322, 323)
_TIFF_ROWS, _TIFF_BITS, _TIFF_SAMPLES = 278, 258, 277


def refuse_pixels(image: Image.Image, max_pixels: int) -> None:
    """Refuse an image by the number of its pixels.

    Raises:
        ImageError: It has none, more than `max_pixels`, or a side of more than `MAX_SIDE`.
    """
    if not image.width or not image.height:
        raise ImageError("the image has no pixels")
    if max(image.size) > MAX_SIDE:
        raise ImageError(
            f"the image is {image.width} x {image.height} px, above the {MAX_SIDE:,} px that a side may have",
            hint="cut it into pieces",
        )
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"the image is {image.width} x {image.height} px, above the {max_pixels:,} pixels that are allowed",
            hint="resize it first",
        )


def refuse_bytes(image: Image.Image, raw: bytes, full: tuple[int, int]) -> None:
    """Refuse an image by the memory that decoding it would take.

    Args:
        image: Opened; the size of a JPEG is that of its draft.
        raw: Its encoded bytes; empty if it has none.
        full: Width and height of a JPEG without its draft.

    Raises:
        ImageError: It would take more than `MAX_BYTES`, or a JPEG has more than `MAX_SCANS` scans.
    """
    if image.format in _SIMPLE and full[0] * full[1] < MAX_BYTES // _MOST_A_PIXEL:
        return
    needed = decoding_bytes(image, raw, full)
    if needed > MAX_BYTES:
        raise ImageError(
            f"decoding the image of {full[0]} x {full[1]} px would take {needed / 1e6:,.0f} MB of memory, above the "
            f"{MAX_BYTES / 1e6:,.0f} MB that are allowed",
            hint="resize it first, or save it as PNG",
        )
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    if jpeg and _several_scans(image, raw) and raw.count(_JPEG_SCAN) > MAX_SCANS:
        raise ImageError(f"the JPEG has more than {MAX_SCANS} scans", hint="save it again")


def decoding_bytes(image: Image.Image, raw: bytes, full: tuple[int, int]) -> int:
    """The most bytes in use at once while an image is decoded and converted to 8 bits; see `refuse_bytes`."""
    pixels = image.width * image.height
    needed = pixels * (_STORED.get(image.mode, 4) + _converted(image))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return needed + _jpeg_coefficients(image, raw, full)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return needed + _tiff_strip(image)
    if image.format == "JPEG2000":
        return needed + _jpeg2000_tile(raw)
    return needed + pixels * _ELSEWHERE.get(image.format or "", 0)


def _converted(image: Image.Image) -> int:
    """Bytes per pixel of the image in 8-bit grey or RGB, while the original is still there."""
    if image.mode == "1" or image.mode.startswith("I"):
        return 1
    return 0 if image.mode in ("L", "RGB") and "transparency" not in image.info else 4


def _jpeg_coefficients(image: JpegImagePlugin.JpegImageFile, raw: bytes, full: tuple[int, int]) -> int:
    """A JPEG of several scans is held as 16-bit coefficients, in its full size whatever the draft."""
    if not _several_scans(image, raw):
        return 0
    sampled = [(h, v) for _, h, v, _ in image.layer]
    largest = max(h for h, _ in sampled) * max(v for _, v in sampled)
    return math.ceil(2 * full[0] * full[1] * sum(h * v for h, v in sampled) / max(1, largest))


def _several_scans(image: JpegImagePlugin.JpegImageFile, raw: bytes) -> bool:
    """Whether the first scan does not hold all of the image."""
    if "progressive" in image.info:
        return True
    first = raw.find(_JPEG_SCAN)
    return first >= 0 and first + 4 < len(raw) and raw[first + 4] < len(image.layer)


def _tiff_strip(image: TiffImagePlugin.TiffImageFile) -> int:
    """A strip or tile as libtiff unpacks it, and the copy that Pillow makes to apply the orientation."""
    tags = image.tag_v2
    width, rows = (tags.get(tag) for tag in _TIFF_TILE)
    if not isinstance(width, int) or not isinstance(rows, int):
        width, rows = max(image.size), min(_number(tags.get(_TIFF_ROWS), max(image.size)), max(image.size))
        width = math.ceil(image.width * image.height / max(image.size)) if rows == max(image.size) else width
    bits = max(_number(tags.get(_TIFF_BITS), 8), 8)
    strip = width * rows * min(_number(tags.get(_TIFF_SAMPLES), 1), 8) * bits // 8
    turned = image.width * image.height * 4 if _number(tags.get(274), 1) != 1 else 0
    return strip + turned


def _number(value: object, otherwise: int) -> int:
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else otherwise


def _jpeg2000_tile(raw: bytes) -> int:
    """OpenJPEG holds a tile as 32-bit numbers, and Pillow its bytes; both by what the code stream declares.

    A file may hold several such headers, of which any may be the one that is used.
    """
    if raw.count(_JPEG2000_START) > _MAX_STREAMS:
        raise ImageError(f"the file holds more than {_MAX_STREAMS} code streams", hint="save it again")
    needed, at = 0, raw.find(_JPEG2000_START)
    while at >= 0:
        with contextlib.suppress(struct.error, IndexError):  # the decoder will refuse it
            needed = max(needed, _jpeg2000_stream(raw, at + len(_JPEG2000_START)))
        at = raw.find(_JPEG2000_START, at + 1)
    return needed


def _jpeg2000_stream(raw: bytes, at: int) -> int:
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", raw, at + 4)
    (components,) = struct.unpack_from(">H", raw, at + 36)
    samples = min(right - left, tile_width) * min(bottom - top, tile_height) * components
    smallest = 64 * 64
    style = raw.find(_JPEG2000_STYLE, at)
    if style >= 0:
        flags, levels, block_width, block_height = (raw[style + place] for place in (4, 9, 10, 11))
        smallest = 1 << (block_width % 16 + block_height % 16 + 4)
        sizes = raw[style + 14 : style + 15 + levels % 33] if flags & 1 else b""
        smallest = min([smallest, *(1 << (size % 16 + size // 16) for size in sizes)])
    return samples * 7 + samples * _BLOCK_BYTES // smallest
