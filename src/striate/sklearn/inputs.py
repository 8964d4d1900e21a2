"""What scikit-learn users pass as X, as a list of images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate.data.transforms import ImageLike

_SINGLE = (str, bytes, Path, np.ndarray, Image.Image)


def is_numeric(X: Any) -> bool:
    """Whether X is numbers (an array of all images, or a table of flattened ones) and not a list of single images."""
    if isinstance(X, list | tuple):
        return not X or not isinstance(X[0], _SINGLE)
    array = X if hasattr(X, "shape") and hasattr(X, "dtype") else np.asarray(X)
    if getattr(array, "ndim", 2) >= 2:
        return True
    return array.dtype.kind not in "OUS"


def single_images(X: Any) -> list[ImageLike]:
    """A sequence of single images as a list.

    Raises:
        ValueError: It is empty.
    """
    images = list(np.asarray(X)) if not isinstance(X, list | tuple) else list(X)
    if not images:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required: X holds no image.")
    return images


def as_pixels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers as 8-bit pixels: `low` becomes 0, `high` becomes 255, and values outside are clipped.

    Shape:
        Any; uint8 of the same shape.
    """
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def to_squares(pixels: np.ndarray) -> np.ndarray:
    """Flattened images as images: colour where a row has 3 s^2 values, otherwise grey in the smallest square.

    Shape:
        ``[n, values]`` to ``[n, s, s, 3]`` or ``[n, s, s]``; a square with room left is filled with zeros.
    """
    count, width = pixels.shape
    side = math.isqrt(width // 3)
    if width == 3 * side * side:
        return pixels.reshape(count, side, side, 3)
    side = math.isqrt(width - 1) + 1
    padded = np.zeros((count, side * side), dtype=np.uint8)
    padded[:, :width] = pixels
    return padded.reshape(count, side, side)
