"""Decoding: encoded bytes to the pixels that a network takes.

Unusual images are handled as follows. The EXIF orientation is applied. Transparency is composited on white. Palettes
and CMYK become RGB. Grey of more than 8 bits is divided by what its file says of white; 16-bit colour keeps its high
byte, as Pillow reads it. An animation gives its first frame, a file of several pages its first page. Metadata that is
damaged, or too long for Pillow, is left out. Nothing else is changed, and Pillow's own settings are left alone.

The resize is the one that the published weights were trained with: torchvision's on Pillow, which resizes the shorter
side and then crops the centre. Only the pixels that the crop keeps are computed.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, TiffImagePlugin

from striate.core.preprocess import Preprocess
from striate.data import levels, metadata
from striate.data.footprint import MAX_PIXELS, refuse_bytes, refuse_pixels
from striate.data.opened import OpenedImage, RawImage, opened, probe, transparent

_EXACT_GAP = 3.0
"""A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size if this many decoded pixels remain for each output pixel, along
each side. On detailed photos, the mean difference to the full decode is then 0.45 of 255 (99 % of values within 3)."""

_FAST_GAP = 1.5
"""The same for the fast resize, with a mean difference of 1.2 to 1.5 of 255."""

_STRIP_PIXELS = 1 << 20
"""Larger images are converted strip by strip, so that no second copy of the whole is held."""

_PASS_BYTES = 128 << 20
"""Pillow resizes the width first. If that needs more memory, as in an image far higher than wide, rows are averaged
before."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}

_TURNS = {  # EXIF orientation: swap the axes, then flip left to right, then top to bottom
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
_UPRIGHT = (False, False, False)

Box = tuple[float, float, float, float]


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
        OutOfMemoryError: There is not enough memory, which says nothing about the image.
    """
    return opened(raw, lambda image: _decoded(image, preprocess, fast, max_pixels))


def to_pixels(pil_image: Image.Image) -> np.ndarray:
    """A PIL image of any kind as uint8 pixels ``[h, w]`` or ``[h, w, 3]``, with its EXIF orientation applied.

    Raises:
        ImageError: It cannot be read.
        OutOfMemoryError: There is not enough memory.
    """
    return opened(pil_image, _upright_pixels)


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


def largest_sample(raw: RawImage) -> int | None:
    """The largest sample of a PNG or TIFF that stores 16 bits, 0 to 65535; of colour, its high byte counts in full.

    Returns:
        None for an image of other depth.

    Raises:
        ImageError: As `decode` does.
    """

    def look(image: OpenedImage) -> int | None:
        if levels.bits(image.pil, image.raw) != 16 or image.pil.mode in ("P", "PA"):
            return None
        grey = image.pil.mode.startswith("I")
        bands = _loaded(image, MAX_PIXELS).split()
        highest = max(int(band.getextrema()[1]) for band in bands[: 1 if len(bands) < 3 else 3])  # pyright: ignore[reportArgumentType]
        return highest if grey else 256 * highest + 255 * (highest > 0)

    return opened(raw, look)


def _loaded(image: OpenedImage, max_pixels: int) -> Image.Image:
    """The image with its pixels decoded in full; a PIL image that was given stays as it is."""
    refuse_pixels(image.pil, max_pixels)
    refuse_bytes(image.pil, image.raw, image.pil.size)
    if not image.raw:
        return image.pil.copy()
    image.pil.load()
    return image.pil


def _decoded(image: OpenedImage, preprocess: Preprocess, fast: bool, max_pixels: int) -> np.ndarray:
    pil, full, orientation = image.pil, image.pil.size, image.metadata.orientation
    refuse_pixels(pil, max_pixels)
    meaning = image.levels
    if isinstance(pil, TiffImagePlugin.TiffImageFile):
        orientation = metadata.UPRIGHT  # Pillow applies it while it loads this format
        pil = _loaded(image, max_pixels)
    elif not image.raw:
        pil = _loaded(image, max_pixels)
    turn = _TURNS.get(orientation, _UPRIGHT)
    size, box = _window(preprocess, *pil.size, turn)
    box = _draft(pil, size, box, _FAST_GAP if fast else _EXACT_GAP)
    refuse_bytes(pil, image.raw, full)
    plain = _plain(pil, meaning, grey=preprocess.channels == "grey")
    return _pixels(_resize(plain, size, box, _FILTERS[preprocess.interpolation], fast=fast), turn, preprocess)


def _upright_pixels(image: OpenedImage) -> np.ndarray:
    turned = isinstance(image.pil, TiffImagePlugin.TiffImageFile)
    plain = _plain(_loaded(image, MAX_PIXELS), image.levels, grey=False)
    turn = _TURNS.get(metadata.UPRIGHT if turned else image.metadata.orientation, _UPRIGHT)
    return np.array(_turned(np.asarray(plain), turn))


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


def _plain(pil_image: Image.Image, meaning: levels.Levels | None, *, grey: bool) -> Image.Image:
    """The image in 8-bit grey or RGB without transparency. Grey stays grey even for a network that takes colour."""
    if meaning is not None:
        return levels.to_8_bits(pil_image, meaning)
    if transparent(pil_image):
        pil_image = _on_white(pil_image)
    if pil_image.mode == "1":
        pil_image = pil_image.convert("L")
    if pil_image.mode not in ("RGB", "L"):
        pil_image = pil_image.convert("RGB")
    pil_image.load()
    return pil_image.convert("L") if grey and pil_image.mode == "RGB" else pil_image


def _on_white(pil_image: Image.Image) -> Image.Image:
    """A transparent image in RGB on white."""
    width, height = pil_image.size
    rows = max(1, _STRIP_PIXELS // width)
    result = Image.new("RGB", pil_image.size) if rows < height else None
    for top in range(0, height, rows):
        strip = (pil_image if result is None else pil_image.crop((0, top, width, min(top + rows, height)))).convert(
            "RGBA"
        )
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        plain = Image.alpha_composite(white, strip).convert("RGB")
        if result is None:
            return plain
        result.paste(plain, (0, top))
    assert result is not None
    return result


def _resize(
    pil_image: Image.Image, size: tuple[int, int], box: Box, resample: Image.Resampling, *, fast: bool
) -> Image.Image:
    if size == pil_image.size and box == (0, 0, *size):
        return pil_image
    rows = box[3] - box[1]
    if (part := int(4 * size[0] * rows / _PASS_BYTES)) > 1:
        pil_image = pil_image.reduce((1, part))
        box = (box[0], box[1] / part, box[2], min(box[3] / part, pil_image.height))
    return pil_image.resize(size, resample, box=box, reducing_gap=_FAST_GAP if fast else None)


def _pixels(pil_image: Image.Image, turn: tuple[bool, bool, bool], preprocess: Preprocess) -> np.ndarray:
    pixels = _turned(np.asarray(pil_image), turn)
    if pixels.ndim == 2:
        pixels = np.broadcast_to(pixels[..., None], (*pixels.shape, preprocess.in_channels))
    elif preprocess.channels == "bgr":
        pixels = pixels[..., ::-1]
    return np.array(pixels, order="C")


def _turned(pixels: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    """Pixels ``[h, w, ...]`` with the axes swapped, then flipped left to right, then top to bottom."""
    swap, mirror_x, mirror_y = turn
    if swap:
        pixels = pixels.swapaxes(0, 1)
    if mirror_x:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if mirror_y else pixels
