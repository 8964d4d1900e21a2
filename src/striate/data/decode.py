"""From encoded bytes to the pixels that a network takes.

What becomes of unusual pictures: turned as their EXIF orientation says; transparency composited on white; palettes and
CMYK to RGB; 16-bit grey divided by 257 (16-bit colour keeps its high byte, as Pillow reads it); of animations the first
frame. Nothing else is changed, and Pillow's own limits and settings are left alone.

The resize equals the habit the published weights were made with (torchvision's on Pillow: the whole picture to the
shorter side, then the centre crop), though only what the crop keeps is ever computed.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from striate.core.errors import PictureError
from striate.core.preprocess import Preprocess

MAX_PIXELS = 64_000_000
"""Pictures with more pixels than this are refused by their header; decoded in colour it is 192 MB."""

_EXACT_GAP = 3.0
"""A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size while this many decoded pixels go into one of the result.

On detailed photos the mean difference to the full decode is then 0.45 of 255 (99 % of values within 3).
"""

_FAST_GAP = 1.5
"""The same for the fast resize: a mean difference of 1.2 to 1.5 of 255."""

# EPS is left out on purpose: Pillow hands it to Ghostscript, which executes it.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")

# What Pillow raises on damaged files, by experience with its readers.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}

_ORIENTATION = 274
_TURNS = {  # EXIF orientation: swap the axes, then mirror left to right, then top to bottom
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
_SIDEWAYS = (5, 6, 7, 8)
_UPRIGHT = (False, False, False)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInfo:
    """What a picture's header says.

    Args:
        width: In pixels, as stored (before any turning).
        height: In pixels, as stored.
        mode: Pillow's name for the kind of pixels: ``RGB``, ``L``, ``P``, ``CMYK``, ``I;16``, ...
        format: ``JPEG``, ``PNG``, ...
        frames: More than 1 for an animation.
        orientation: EXIF orientation, 1 (upright) to 8.
        transparent: Whether there is an alpha channel or a transparent colour.
    """

    width: int
    height: int
    mode: str
    format: str
    frames: int
    orientation: int
    transparent: bool

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height in pixels once it is turned upright."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


def probe(raw: bytes | np.ndarray) -> PictureInfo:
    """Read a picture's header; no pixel is decoded, so no size is too large.

    Args:
        raw: As `decode` takes it; an array's format is "".

    Raises:
        PictureError: The bytes are no picture that can be read here.
    """
    image = _opened(raw)
    try:
        return PictureInfo(
            width=image.width,
            height=image.height,
            mode=image.mode,
            format=image.format or "",
            # A phone's MPO holds a second view or a depth map, and TIFF counts pages: neither moves.
            frames=1 if image.format in ("MPO", "TIFF") else int(getattr(image, "n_frames", 1)),
            orientation=_orientation(image),
            transparent=_transparent(image),
        )
    except _DAMAGE as error:
        raise PictureError(f"the picture's header is damaged: {error}") from error


def decode(
    raw: bytes | np.ndarray, preprocess: Preprocess, *, fast: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decode a picture and bring it to the network's size.

    Args:
        raw: Encoded bytes, or uint8 pixels ``[h, w]`` or ``[h, w, 3]``.
        preprocess: Size, crop, filter and channel order; its mean and std are left to the network's engine.
        fast: Decode JPEGs at the smallest size that is still 1.5 times what is needed, and let large pictures
            be averaged down before the filter. Quicker on large pictures, and off by 1 to 2 of 255 in the mean there.
        max_pixels: Pictures with more pixels are refused before they are decoded.

    Shape:
        uint8 ``[height, width, channels]``, contiguous, channels in the network's order.

    Raises:
        PictureError: The picture is empty, damaged, too large, or of a kind that is not read here.
    """
    image = _opened(raw)
    _refuse_size(image, max_pixels)
    try:
        if image.format == "TIFF":
            image.load()  # Pillow turns this format itself, and then forgets the orientation
        turn = _TURNS.get(_orientation(image), _UPRIGHT)
        size, box = _window(preprocess, *image.size, turn)
        box = _draft(image, size, box, _FAST_GAP if fast else _EXACT_GAP)
        plain = _plain(image, grey=preprocess.channels == "grey")
        resized = _resize(plain, size, box, _FILTERS[preprocess.interpolation], fast=fast)
    except _DAMAGE as error:
        raise PictureError(f"the picture is damaged or cut short: {error}") from error
    return _pixels(resized, turn, preprocess)


def thumbnail(raw: bytes | np.ndarray, side: int = 160) -> bytes:
    """A small JPEG of a picture, turned upright, in its own proportions.

    Args:
        raw: As `decode` takes it.
        side: Its longer side in pixels, at least 1; proportions beyond 8 to 1 are squeezed to that.

    Raises:
        PictureError: As `decode` does.
    """
    width, height = probe(raw).shown
    longest = max(width, height)
    size = (max(round(side * height / longest), side // 8, 1), max(round(side * width / longest), side // 8, 1))
    pixels = decode(raw, Preprocess(size=size, fit="stretch"), fast=True)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _opened(raw: bytes | np.ndarray) -> Image.Image:
    return Image.fromarray(raw) if isinstance(raw, np.ndarray) else _open(raw)


def _refuse_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise PictureError(
            f"the picture is {image.width} x {image.height} px, above the {max_pixels:,} pixels that are decoded",
            hint="make it smaller",
        )


def _open(raw: bytes) -> Image.Image:
    if not raw:
        raise PictureError("the file is empty")
    try:
        return Image.open(io.BytesIO(raw), formats=_formats())
    except Image.UnidentifiedImageError as error:
        if raw[:64].isascii() and b"\0" not in raw[:64]:
            raise PictureError("the file holds text, not a picture") from error
        raise PictureError("the file is no picture of a known format, or its header is damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"the picture is far too large to decode: {error}", hint="make it smaller") from error
    except _DAMAGE as error:
        raise PictureError(f"the picture's header is damaged: {error}") from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """Of the formats wanted, those that this build of Pillow reads."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _window(
    preprocess: Preprocess, width: int, height: int, turn: tuple[bool, bool, bool]
) -> tuple[tuple[int, int], Box]:
    """Where the result lies in the stored picture.

    Returns:
        Width and height of the result, and its box in pixels of the picture; both before turning.
    """
    swap, mirror_x, mirror_y = turn
    out_h, out_w = preprocess.size
    if swap:
        width, height = height, width
    if preprocess.fit == "stretch":
        box: Box = (0.0, 0.0, float(width), float(height))
    else:
        short = preprocess.shorter_side
        new_w = short if width <= height else int(short * width / height)
        new_h = short if height <= width else int(short * height / width)
        left, top = round((new_w - out_w) / 2), round((new_h - out_h) / 2)
        x, y = width / new_w, height / new_h
        box = (left * x, top * y, min((left + out_w) * x, width), min((top + out_h) * y, height))
    if mirror_x:
        box = (width - box[2], box[1], width - box[0], box[3])
    if mirror_y:
        box = (box[0], height - box[3], box[2], height - box[1])
    if swap:
        return (out_h, out_w), (box[1], box[0], box[3], box[2])
    return (out_w, out_h), box


def _draft(image: Image.Image, size: tuple[int, int], box: Box, gap: float) -> Box:
    """Have a JPEG decoded at a part of its size, as small as leaves `gap` decoded pixels for one of the result.

    Returns:
        The box in pixels of what will be decoded.
    """
    scale = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / gap
    if scale < 2 or image.format not in ("JPEG", "MPO"):
        return box
    width = image.width
    image.draft(None, (int(image.width / scale), int(image.height / scale)))
    part = round(width / image.width)  # 2, 4 or 8; the last row and column may stand for fewer pixels than that
    right, bottom = min(box[2] / part, image.width), min(box[3] / part, image.height)
    return box[0] / part, box[1] / part, right, bottom


def _plain(image: Image.Image, *, grey: bool) -> Image.Image:
    """The picture in 8-bit grey or RGB without transparency; grey stays grey even for a network that takes colour."""
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        return Image.fromarray(((np.clip(levels, 0, 65535) + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise PictureError("the picture holds floating-point numbers of unknown range", hint="save it as PNG")
    if _transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    image.load()
    return image.convert("L") if grey and image.mode == "RGB" else image


def _resize(
    image: Image.Image, size: tuple[int, int], box: Box, resample: Image.Resampling, *, fast: bool
) -> Image.Image:
    if size == image.size and box == (0, 0, *size):
        return image
    return image.resize(size, resample, box=box, reducing_gap=_FAST_GAP if fast else None)


def _pixels(image: Image.Image, turn: tuple[bool, bool, bool], preprocess: Preprocess) -> np.ndarray:
    swap, mirror_x, mirror_y = turn
    pixels = np.asarray(image)
    if swap:
        pixels = pixels.swapaxes(0, 1)
    if mirror_x:
        pixels = pixels[:, ::-1]
    if mirror_y:
        pixels = pixels[::-1]
    if pixels.ndim == 2:
        pixels = np.broadcast_to(pixels[..., None], (*pixels.shape, preprocess.in_channels))
    elif preprocess.channels == "bgr":
        pixels = pixels[..., ::-1]
    return np.array(pixels, order="C")
