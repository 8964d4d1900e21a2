"""Grey images of more than 8 bits: which level is white, and how they become 8 bits."""

from __future__ import annotations

import contextlib
import functools
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, TiffImagePlugin

from striate.core.errors import ImageError

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_SHORT, _LONG = 3, 4
_ONE = {_SHORT: (1, 0), _LONG: (1,)}
_FORMATS = {2: "signed integers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
_SCALED = ("PNG", "PPM", "JPEG2000")
"""Formats from which Pillow reads grey of more than 8 bits into 0 to 65535."""

_STRIP_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class Levels:
    """What the levels of a grey image mean.

    Args:
        white: The level of white, 1 to 65535; 0 is black.
        inverted: Whether 0 is white and `white` is black instead.
    """

    white: int
    inverted: bool = False


def bits(image: Image.Image, raw: bytes = b"") -> int:
    """Bits per sample as a PNG or TIFF stores them; 8 for other formats, from which Pillow scales more bits itself."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(_values(image, _BITS, 1))
    return raw[24] if image.format == "PNG" and len(raw) > 24 else 8


def black_is_zero(raw: bytes) -> bytes | None:
    """A TIFF whose photometric interpretation is changed to "black is zero"; None if it was not "white is zero".

    Pillow does not know "white is zero" for every combination of bits and byte order.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(raw[:4])
    if order is None:
        return None
    with contextlib.suppress(struct.error):
        (start,) = struct.unpack_from(f"{order}I", raw, 4)
        (count,) = struct.unpack_from(f"{order}H", raw, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", raw, place)
            if tag == _PHOTOMETRIC and kind in (_SHORT, _LONG) and not any(raw[place + 8 : place + 12]):
                one = struct.pack(f"{order}{'HH' if kind == _SHORT else 'I'}", *_ONE[kind])
                return raw[: place + 8] + one + raw[place + 12 :]
    return None


def levels(image: Image.Image, *, inverted: bool = False) -> Levels | None:
    """What the levels of an image in a mode of more than 8 bits mean; None for the other modes.

    Args:
        image: Opened by Pillow.
        inverted: Whether 0 is white, though `image` says that it is black.

    Raises:
        ImageError: Its range is unknown: it holds signed, floating-point or complex numbers, or 32-bit integers.
    """
    tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    wide = image.mode.startswith("I")
    if not (tiff or wide or image.mode == "F"):
        return None
    white, photometric = 65535, _BLACK_IS_ZERO
    if tiff:
        for kind in _values(image, _SAMPLE_FORMAT, 1):
            _refuse(_FORMATS.get(kind))
        white = (1 << min(max(_values(image, _BITS, 1)), 32)) - 1
        (photometric,) = _values(image, _PHOTOMETRIC, _WHITE_IS_ZERO)[:1]
    elif image.mode == "I" and image.format not in _SCALED:
        white = (1 << 32) - 1
    _refuse("floating-point numbers" if image.mode == "F" else None)
    if not wide:
        return None
    _refuse("32-bit integers" if white > 65535 else None)
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        raise ImageError("the image holds data of a sensor, not grey levels", hint="develop it, and save it as PNG")
    return Levels(white, inverted=inverted or photometric == _WHITE_IS_ZERO)


def _values(image: TiffImagePlugin.TiffImageFile, tag: int, otherwise: int) -> tuple[int, ...]:
    found = image.tag_v2.get(tag, otherwise)
    return tuple(found) if isinstance(found, tuple) and found else (found if isinstance(found, int) else otherwise,)


def _refuse(what: str | None) -> None:
    if what is not None:
        raise ImageError(f"the image holds {what} of unknown range", hint="save it as PNG with 8 or 16 bits")


def to_8_bits(image: Image.Image, meaning: Levels) -> Image.Image:
    """A grey image of more than 8 bits in 8, strip by strip: numpy takes 8 bytes per pixel for it."""
    table = _table(meaning)
    transparent = image.info.get("transparency")
    rows = max(1, _STRIP_PIXELS // image.width)
    result = np.empty((image.height, image.width), dtype=np.uint8)
    for top in range(0, image.height, rows):
        strip = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        grey = table[np.clip(strip, 0, meaning.white)]
        result[top : top + rows] = grey if transparent is None else np.where(strip == transparent, 255, grey)
    return Image.fromarray(result)


@functools.cache
def _table(meaning: Levels) -> np.ndarray:
    """uint8 ``[white + 1]``: each level between black and white as one of 256."""
    every = np.arange(meaning.white + 1, dtype=np.int64)
    if meaning.inverted:
        every = every[::-1]
    return ((every * 255 + meaning.white // 2) // meaning.white).astype(np.uint8)
