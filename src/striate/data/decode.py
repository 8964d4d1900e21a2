"""Decoding: encoded bytes to the pixels that a network takes.

Unusual images are handled as follows. The EXIF orientation is applied. Transparency is composited on white. Palettes
and CMYK become RGB. 16-bit grey is divided by 257; 16-bit colour keeps its high byte, as Pillow reads it. An animation
gives its first frame. Nothing else is changed, and Pillow's own limits and settings are left alone.

The resize is the one that the published weights were trained with: torchvision's on Pillow, which resizes the shorter
side and then crops the centre. Only the pixels that the crop keeps are computed.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused before they are decoded; in colour, this many take 192 MB."""

_EXACT_GAP = 3.0
"""A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size if this many decoded pixels remain for each output pixel, along
each side. On detailed photos, the mean difference to the full decode is then 0.45 of 255 (99 % of values within 3)."""

_FAST_GAP = 1.5
"""The same for the fast resize, with a mean difference of 1.2 to 1.5 of 255."""

# EPS is left out on purpose: Pillow passes it to Ghostscript, which executes it.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")

# The exceptions that Pillow's readers raise on damaged files.
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
_TURNS = {  # EXIF orientation: swap the axes, then flip left to right, then top to bottom
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
RawImage = bytes | np.ndarray | Image.Image
"""Encoded bytes, uint8 pixels ``[h, w]`` or ``[h, w, 3]``, or a PIL image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """The contents of an image's header.

    Args:
        width: In pixels, as stored, before the EXIF orientation is applied.
        height: In pixels, as stored.
        mode: Pillow's name of the pixel type: ``RGB``, ``L``, ``P``, ``CMYK``, ``I;16``, ...
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
        """Width and height in pixels after the EXIF orientation is applied."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


def probe(raw: RawImage) -> ImageInfo:
    """Read an image's header. No pixel is decoded, so images of any size are allowed.

    Args:
        raw: As in `decode`; the format of an array is "".

    Raises:
        ImageError: The bytes are not an image in a supported format.
    """
    pil_image = _opened(raw)
    try:
        return ImageInfo(
            width=pil_image.width,
            height=pil_image.height,
            mode=pil_image.mode,
            format=pil_image.format or "",
            # The second frame of a phone's MPO is a view or a depth map, and TIFF counts pages: neither is animated.
            frames=1 if pil_image.format in ("MPO", "TIFF") else int(getattr(pil_image, "n_frames", 1)),
            orientation=_orientation(pil_image),
            transparent=_transparent(pil_image),
        )
    except _DAMAGE as error:
        raise ImageError(f"the image's header is damaged: {error}") from error


def decode(raw: RawImage, preprocess: Preprocess, *, fast: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image and resize it to the network's input size.

    Args:
        raw: Encoded bytes, uint8 pixels ``[h, w]`` or ``[h, w, 3]``, or a PIL image.
        preprocess: Size, crop, interpolation and channel order; its mean and std are not applied here.
        fast: Whether to decode JPEGs at the smallest size that is still 1.5 times the output size, and to average large
            images down before the interpolation. This is faster for large images and changes their values by 1 to 2 of
            255 on average.
        max_pixels: Images with more pixels are refused before they are decoded.

    Shape:
        uint8 ``[height, width, channels]``, contiguous, channels in the network's order.

    Raises:
        ImageError: The image is empty, damaged, too large, or in a format that is not supported.
    """
    pil_image = _opened(raw)
    _refuse_size(pil_image, max_pixels)
    try:
        if pil_image.format == "TIFF":
            pil_image.load()  # Pillow applies the orientation of this format itself, and then forgets it
        turn = _TURNS.get(_orientation(pil_image), _UPRIGHT)
        size, box = _window(preprocess, *pil_image.size, turn)
        box = _draft(pil_image, size, box, _FAST_GAP if fast else _EXACT_GAP)
        plain = _plain(pil_image, grey=preprocess.channels == "grey")
        resized = _resize(plain, size, box, _FILTERS[preprocess.interpolation], fast=fast)
    except _DAMAGE as error:
        raise ImageError(f"the image is damaged or cut short: {error}") from error
    return _pixels(resized, turn, preprocess)


def to_pixels(pil_image: Image.Image) -> np.ndarray:
    """A PIL image of any kind as uint8 pixels ``[h, w]`` or ``[h, w, 3]``, with its EXIF orientation applied.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        return np.array(_plain(ImageOps.exif_transpose(pil_image), grey=False))
    except _DAMAGE as error:
        raise ImageError(f"the image is damaged or cut short: {error}") from error


def thumbnail(raw: bytes | np.ndarray, side: int = 160) -> bytes:
    """A small JPEG of an image, with its EXIF orientation applied and its aspect ratio kept.

    Args:
        raw: As in `decode`.
        side: The longer side in pixels, at least 1. Aspect ratios beyond 8 to 1 are reduced to 8 to 1.

    Raises:
        ImageError: As `decode` does.
    """
    width, height = probe(raw).shown
    longest = max(width, height)
    size = (max(round(side * height / longest), side // 8, 1), max(round(side * width / longest), side // 8, 1))
    pixels = decode(raw, Preprocess(size=size, fit="stretch"), fast=True)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _opened(raw: RawImage) -> Image.Image:
    if isinstance(raw, Image.Image):
        return raw.copy()  # decoding may change the image it is given
    return Image.fromarray(raw) if isinstance(raw, np.ndarray) else _open(raw)


def _refuse_size(pil_image: Image.Image, max_pixels: int) -> None:
    if pil_image.width * pil_image.height > max_pixels:
        raise ImageError(
            f"the image is {pil_image.width} x {pil_image.height} px, above the {max_pixels:,} pixels that are allowed",
            hint="resize it first",
        )


def _open(raw: bytes) -> Image.Image:
    if not raw:
        raise ImageError("the file is empty")
    try:
        return Image.open(io.BytesIO(raw), formats=_formats())
    except Image.UnidentifiedImageError as error:
        if raw[:64].isascii() and b"\0" not in raw[:64]:
            raise ImageError("the file holds text, not an image") from error
        raise ImageError("the file is not an image in a known format, or its header is damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"the image is far too large to decode: {error}", hint="resize it first") from error
    except _DAMAGE as error:
        raise ImageError(f"the image's header is damaged: {error}") from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """The supported formats that this build of Pillow can read."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _orientation(pil_image: Image.Image) -> int:
    value = pil_image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _transparent(pil_image: Image.Image) -> bool:
    return pil_image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in pil_image.info


def _window(
    preprocess: Preprocess, width: int, height: int, turn: tuple[bool, bool, bool]
) -> tuple[tuple[int, int], Box]:
    """The part of the stored image that becomes the result.

    Returns:
        Width and height of the result, and its box in pixels of the image, both before the orientation is applied.
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


def _draft(pil_image: Image.Image, size: tuple[int, int], box: Box, gap: float) -> Box:
    """Let Pillow decode a JPEG at the smallest size with at least `gap` decoded pixels per output pixel on each side.

    Returns:
        The box in pixels of the decoded image.
    """
    scale = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / gap
    if scale < 2 or pil_image.format not in ("JPEG", "MPO"):
        return box
    width = pil_image.width
    pil_image.draft(None, (int(pil_image.width / scale), int(pil_image.height / scale)))
    part = round(width / pil_image.width)  # 2, 4 or 8; the last row and column may cover fewer pixels
    right, bottom = min(box[2] / part, pil_image.width), min(box[3] / part, pil_image.height)
    return box[0] / part, box[1] / part, right, bottom


def _plain(pil_image: Image.Image, *, grey: bool) -> Image.Image:
    """The image in 8-bit grey or RGB without transparency. Grey stays grey even for a network that takes colour."""
    if pil_image.mode.startswith("I"):
        levels = np.asarray(pil_image).astype(np.int64)
        return Image.fromarray(((np.clip(levels, 0, 65535) + 128) // 257).astype(np.uint8))
    if pil_image.mode == "F":
        raise ImageError("the image holds floating-point numbers of unknown range", hint="save it as PNG")
    if _transparent(pil_image):
        pil_image = pil_image.convert("RGBA")
        white = Image.new("RGBA", pil_image.size, (255, 255, 255, 255))
        pil_image = Image.alpha_composite(white, pil_image).convert("RGB")
    if pil_image.mode == "1":
        pil_image = pil_image.convert("L")
    if pil_image.mode not in ("RGB", "L"):
        pil_image = pil_image.convert("RGB")
    pil_image.load()
    return pil_image.convert("L") if grey and pil_image.mode == "RGB" else pil_image


def _resize(
    pil_image: Image.Image, size: tuple[int, int], box: Box, resample: Image.Resampling, *, fast: bool
) -> Image.Image:
    if size == pil_image.size and box == (0, 0, *size):
        return pil_image
    return pil_image.resize(size, resample, box=box, reducing_gap=_FAST_GAP if fast else None)


def _pixels(pil_image: Image.Image, turn: tuple[bool, bool, bool], preprocess: Preprocess) -> np.ndarray:
    swap, mirror_x, mirror_y = turn
    pixels = np.asarray(pil_image)
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
