"""The size of a random crop: area and aspect ratio are drawn until the crop fits into the image."""

from __future__ import annotations

import numpy as np

from striate.core.seed import Key, uniforms

TRIES = 10


def sides(
    areas: tuple[float, float],
    aspect: float,
    samples: np.ndarray,
    *key: Key,
    relative: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of a random crop of every image, as fractions of the image's sides, ``[n]`` each.

    Args:
        areas: Smallest and largest area, as fractions of the image's area.
        aspect: Largest width over height, and height over width; its logarithm is drawn uniformly.
        samples: Integers that identify the images, ``[n]``.
        key: Key of the random draws: seed, purpose, epoch.
        relative: Width over height of each image, ``[n]``, if aspect ratios are absolute; 1 if they are relative to it.

    Source:
        Szegedy et al. 2014 (arXiv 1409.4842), section 6, and Zhong et al. 2017 (arXiv 1708.04896), Algorithm 1. The
        first of ten crops that fits into the image is used; if none fits, one of them is clipped to the image.
    """

    def drawn(chances: np.ndarray, relative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        area = areas[0] + (areas[1] - areas[0]) * chances[..., 0]
        ratio = aspect ** (2 * chances[..., 1] - 1) / relative
        return np.sqrt(area / ratio), np.sqrt(area * ratio)

    relative = np.broadcast_to(np.asarray(relative), len(samples))
    tall, wide = drawn(uniforms(samples, 2, *key), relative)
    outside = np.flatnonzero((tall > 1) | (wide > 1))
    if len(outside):
        again = uniforms(samples[outside], 2 * TRIES - 2, *key, "again").reshape(-1, TRIES - 1, 2)
        others = drawn(again, relative[outside, None])
        first = np.argmax((others[0] <= 1) & (others[1] <= 1), axis=1)
        tall[outside], wide[outside] = (each[np.arange(len(first)), first] for each in others)
    return np.minimum(tall, 1), np.minimum(wide, 1)
