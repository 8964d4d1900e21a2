"""Small generated images, so that whole jobs run in seconds without a dataset.

The images are noisy, so that no network classifies all of them correctly: metrics that are all 1 would agree by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("bars", "disc", "stairs")
SIDE = 32


def drawing(shape: int, number: int, *, colour: bool = False) -> np.ndarray:
    """One uint8 image: horizontal bars, a disc, or diagonal stripes, at a random position on noise."""
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
    """Write PNG files into class folders.

    Args:
        folder: The folder. It is created if it does not exist.
        each: Number of images per class, or one number for each class.
        classes: Names of the classes.
        colour: Whether the images have three channels.
        first: Index of the first image. Every index is another image.
    """
    counts = [each] * len(classes) if isinstance(each, int) else each
    for shape, (name, count) in enumerate(zip(classes, counts, strict=True)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            Image.fromarray(drawing(shape, number, colour=colour)).save(folder / name / f"{number:03}.png")
    return folder
