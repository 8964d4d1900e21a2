"""A contact sheet of images and their augmented versions as a PNG file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _SOFT, _LINE = "#fdfdfb", "#1c2126", "#59626b", "#dfe0da"
_MARGIN, _GAP, _APART = 36, 8, 30
"""Pixels around the sheet, between images, and between an original and its augmented versions."""
_TITLE, _TEXT, _CLASS, _SMALL = 30, 17, 19, 14
_LEAST, _MOST = 128, 256
"""Range of the displayed size: small images are enlarged by an integer factor, large ones are downscaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An image and its augmented versions.

    Args:
        label: Its class; printed above the first row of each class.
        original: The image, uint8 ``[h, w, channels]``.
        augmented: Its augmented versions; the same number and size in every row.
        captions: Lines below each augmented version; empty for no captions.
    """

    label: str
    original: np.ndarray
    augmented: Sequence[np.ndarray]
    captions: Sequence[Sequence[str]] = ()


def sheet(title: str, lines: Sequence[str], rows: Sequence[Row]) -> bytes:
    """Draw the sheet.

    Args:
        title: Title of the sheet.
        lines: Lines below the title; long ones are wrapped.
        rows: The images, at least one.

    Returns:
        The bytes of a PNG file.
    """
    width, height = _shown(*rows[0].original.shape[:2])
    count = len(rows[0].augmented)
    lefts = [_MARGIN + (width + _GAP) * place + (_APART - _GAP) * (place > 0) for place in range(count + 1)]
    whole = max(lefts[-1] + width + _MARGIN, 640)
    folded = [part for line in lines for part in _fold(line, whole - 2 * _MARGIN)]
    below = [max((len(parts) for parts in row.captions), default=0) * _line(_SMALL) + _GAP for row in rows]
    firsts = [place == 0 or row.label != rows[place - 1].label for place, row in enumerate(rows)]
    top = _MARGIN + _line(_TITLE) + len(folded) * _line(_TEXT) + 14
    body = _line(_SMALL) + sum(height + each for each in below) + sum(firsts) * (_line(_CLASS) + 12)
    pil_image = Image.new("RGB", (whole, top + body + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(pil_image)

    pen.text((_MARGIN, _MARGIN - 6), title, _INK, _font(_TITLE))
    for number, line in enumerate(folded):
        pen.text((_MARGIN, _MARGIN + _line(_TITLE) + number * _line(_TEXT)), line, _SOFT, _font(_TEXT))
    y = top
    for place, left in enumerate(lefts):
        pen.text((left, y), f"epoch {place}" if place else "original", _SOFT, _font(_SMALL))
    y += _line(_SMALL)
    for row, first, space in zip(rows, firsts, below, strict=True):
        if first:
            pen.line((_MARGIN, y + 4, whole - _MARGIN, y + 4), _LINE)
            pen.text((_MARGIN, y + 10), _cut(row.label, whole - 2 * _MARGIN, _CLASS), _INK, _font(_CLASS))
            y += _line(_CLASS) + 12
        for place, (left, pixels) in enumerate(zip(lefts, (row.original, *row.augmented), strict=True)):
            pil_image.paste(_image(pixels, (width, height)), (left, y))
            for number, part in enumerate(row.captions[place - 1] if place and row.captions else ()):
                text = _cut(part, width, _SMALL)
                pen.text((left, y + height + 3 + number * _line(_SMALL)), text, _SOFT, _font(_SMALL))
        y += height + space
    stream = io.BytesIO()
    pil_image.save(stream, "PNG")
    return stream.getvalue()


def _shown(height: int, width: int) -> tuple[int, int]:
    """Displayed width and height of an image."""
    side = max(height, width)
    factor = math.ceil(_LEAST / side) if side < _LEAST else min(1.0, _MOST / side)
    return round(width * factor), round(height * factor)


def _image(pixels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    pil_image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    filters = Image.Resampling
    return pil_image.resize(size, filters.NEAREST if size[0] >= pil_image.width else filters.LANCZOS)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _line(size: int) -> int:
    return round(size * 1.45)


def _fold(text: str, width: int) -> list[str]:
    """Wrap at spaces into lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or _font(_TEXT).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _cut(text: str, width: int, size: int) -> str:
    """Shorten a line to at most `width` pixels."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
