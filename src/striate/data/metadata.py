"""Metadata of image files: the EXIF orientation, and what must not keep pixels from being read.

Metadata is not pixels. Pillow refuses a whole image for a text of more than 1 MB, a colour profile that is damaged, or
an EXIF block that ends too soon. `without` leaves such parts out, so that the pixels can be read.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from striate.core.errors import ImageError

ORIENTATION = 274
UPRIGHT = 1

_EXIF = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')

MAX_PARTS = 200_000
"""A file with more chunks or segments is refused."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})
_PNG_LIMIT_BYTES = 1 << 20
"""Pillow refuses PNG files with a longer text or colour profile."""
_WEBP_PIXELS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04
"""Those of VP8X for a colour profile, EXIF and XMP."""
_JPEG = b"\xff\xd8"
_JPEG_SCAN, _JPEG_COMMENT, _JPEG_APP1 = 0xDA, 0xFE, 0xE1
_JPEG_COLOURS = frozenset({0xE0, 0xEE})
"""JFIF and Adobe say how the colours are stored; the other application segments are metadata."""
_EXIF_SEGMENT = 0x1E1
"""No marker, but the name here of an APP1 segment that holds EXIF."""

_Parts = Callable[[bytes], "Iterator[tuple[Any, int, int]]"]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the metadata of an image says.

    Args:
        orientation: EXIF orientation, 1 (upright) to 8.
        damaged: Whether a part of it cannot be read.
    """

    orientation: int = UPRIGHT
    damaged: bool = False


def read(exif: bytes | None, xmp: bytes | str | None = None) -> Metadata:
    """The orientation that an EXIF block names, or else the XMP.

    Only the first directory of the EXIF block is read, so damage in its other parts does no harm.

    Args:
        exif: With or without the leading ``Exif`` and two zeros; None if there is none.
        xmp: The XMP packet; None if there is none.
    """
    damaged = False
    if block := (exif or b"").removeprefix(_EXIF):
        try:
            found = named(_exif_orientation(block))
        except (struct.error, KeyError):
            found, damaged = None, True
        if found is not None:
            return found
    match = _XMP_ORIENTATION.search(xmp.encode() if isinstance(xmp, str) else xmp) if xmp else None
    return Metadata(int(match[1]) if match else UPRIGHT, damaged)


def named(orientation: object) -> Metadata | None:
    """An orientation as a tag names it; None if it names none."""
    if not isinstance(orientation, int):
        return None
    return Metadata(orientation if 1 <= orientation <= 8 else UPRIGHT)


def from_png_text(profile: str | None) -> bytes | None:
    """The EXIF block that some programs write into a PNG as a text of hexadecimal digits."""
    if profile is None:
        return None
    with contextlib.suppress(ValueError):
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    return b"damaged"


def _exif_orientation(block: bytes) -> int | None:
    order = {b"II": "<", b"MM": ">"}[block[:2]]
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, place)
        if tag == ORIENTATION:
            return value
    return None


def find(raw: bytes) -> Metadata:
    """The metadata of an encoded image that Pillow reads only through `without`: a part of it is damaged."""
    if raw.startswith(_PNG):
        exif = _named(raw, b"eXIf", _png_chunks)
    elif _is_webp(raw):
        exif = _named(raw, b"EXIF", _webp_chunks)
    else:
        exif = _named(raw, _EXIF_SEGMENT, _jpeg_segments)
    return Metadata(read(exif).orientation, damaged=True)


def late_exif(raw: bytes) -> bytes | None:
    """The EXIF block of a PNG that has it after the pixels, where Pillow looks only once the pixels are decoded."""
    return _named(raw, b"eXIf", _png_chunks) if raw.startswith(_PNG) and b"eXIf" in raw else None


def too_long_for_pillow(raw: bytes) -> bool:
    """Whether a PNG holds a text or a colour profile that Pillow refuses, before the pixels or after them."""
    return raw.startswith(_PNG) and any(
        end - start > _PNG_LIMIT_BYTES and name not in _PNG_PIXELS for name, start, end in _png_chunks(raw)
    )


def without(raw: bytes) -> bytes | None:
    """An encoded image without its metadata; None if it has none, or if its format keeps none that can be left out."""
    if raw.startswith(_PNG):
        bare = _PNG + b"".join(raw[start:end] for name, start, end in _png_chunks(raw) if name in _PNG_PIXELS)
    elif _is_webp(raw):
        bare = _bare_webp(raw)
    elif raw.startswith(_JPEG):
        kept = (raw[start:end] for marker, start, end in _jpeg_segments(raw) if not _is_jpeg_metadata(marker))
        bare = _JPEG + b"".join(kept)
    elif raw[4:12] == b"ftypavif":
        head = raw[: max(0, raw.find(b"mdat"))]
        bare = head.replace(b"Exif", b"skip") + raw[len(head) :]  # decoders pass over items of a type unknown to them
    else:
        return None
    return None if bare == raw else bare


def _named(raw: bytes, name: bytes | int, parts: _Parts) -> bytes | None:
    """The content of the first part called `name`."""
    skip, cut = (8, 4) if parts is _png_chunks else (8, 0) if parts is _webp_chunks else (4, 0)
    return next((raw[start + skip : end - cut] for found, start, end in parts(raw) if found == name), None)


def _bounded() -> Iterator[int]:
    """As many numbers as a file may have parts.

    Raises:
        ImageError: When they are used up.
    """
    yield from range(MAX_PARTS)
    raise ImageError(f"the file is made of more than {MAX_PARTS:,} parts", hint="save it again")


def _png_chunks(raw: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk, its length and checksum included."""
    at = len(_PNG)
    for _ in _bounded():
        if at + 8 > len(raw):
            return
        length, name = struct.unpack_from(">I4s", raw, at)
        yield name, at, at + 12 + length
        at += 12 + length


def _is_webp(raw: bytes) -> bool:
    return raw[:4] == b"RIFF" and raw[8:12] == b"WEBP"


def _webp_chunks(raw: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk, its header included."""
    at = 12
    for _ in _bounded():
        if at + 8 > len(raw):
            return
        name, length = struct.unpack_from("<4sI", raw, at)
        yield name, at, at + 8 + length + length % 2
        at += 8 + length + length % 2


def _bare_webp(raw: bytes) -> bytes:
    body = bytearray()
    for name, start, end in _webp_chunks(raw):
        if name in _WEBP_PIXELS:
            place = len(body)
            body += raw[start:end]
            if name == b"VP8X" and end - start > 8:
                body[place + 8] &= ~_WEBP_METADATA_FLAGS
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + bytes(body)


def _jpeg_segments(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment; the last one is the scans, with all that follows."""
    at = len(_JPEG)
    for _ in _bounded():
        if at + 4 > len(raw) or raw[at] != 0xFF or raw[at + 1] in (_JPEG_SCAN, 0xFF):
            break
        marker, length = struct.unpack_from(">xBH", raw, at)
        exif = marker == _JPEG_APP1 and raw.startswith(_EXIF, at + 4)
        yield _EXIF_SEGMENT if exif else marker, at, at + 2 + length
        at += 2 + length
    yield _JPEG_SCAN, at, len(raw)


def _is_jpeg_metadata(marker: int) -> bool:
    application = marker == _EXIF_SEGMENT or 0xE0 <= marker <= 0xEF
    return marker == _JPEG_COMMENT or (application and marker not in _JPEG_COLOURS)
