"""Small drawn images, so that whole jobs run in seconds and need no data from anywhere.

They are noisy enough that no network gets all of them right: figures that are all 1 would agree by accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("bars", "disc", "stairs")
SIDE = 32


def drawing(shape: int, number: int, *, colour: bool = False) -> np.ndarray:
    """One image: level bars, a disc, or a slope of stairs, at a drawn place and on noise; uint8."""
    rng = np.random.default_rng((shape, number))
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    shift, period = rng.uniform(0, 8), rng.uniform(7, 10)
    if shape % 3 == 0:
        ink = np.sin(2 * np.pi * (y + shift) / period) > 0
    elif shape % 3 == 1:
        ink = (x - 12 - shift) ** 2 + (y - 20 + shift) ** 2 < rng.uniform(5, 8) ** 2
    else:
        ink = (x + y + shift) % (2 * period) < period
    grey = np.where(ink, 148.0, 92.0) + rng.normal(0, 110, (SIDE, SIDE))
    if not colour:
        return grey.clip(0, 255).astype(np.uint8)
    tint = np.roll([1.0, 0.5, 0.2], shape)
    return (grey[..., None] * tint).clip(0, 255).astype(np.uint8)


def draw(
    folder: Path,
    each: int | Sequence[int] = 25,
    *,
    classes: Sequence[str] = SHAPES,
    colour: bool = False,
    first: int = 0,
) -> Path:
    """A folder of PNG files in class folders.

    Args:
        folder: Made when it is not there.
        each: Images of every class, or of each class in turn.
        classes: Their names.
        colour: Whether the images have three channels.
        first: Number of the first image; other numbers, other images.
    """
    counts = [each] * len(classes) if isinstance(each, int) else each
    for shape, (name, count) in enumerate(zip(classes, counts, strict=True)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            Image.fromarray(drawing(shape, number, colour=colour)).save(folder / name / f"{number:03}.png")
    return folder
