"""The image headers of a dataset, in a few bytes per image."""

from __future__ import annotations

import enum
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from striate.core.device import cpu_threads
from striate.core.errors import ImageError
from striate.data.decode import ImageInfo, probe
from striate.data.image_index import ImageIndex

_CHUNK = 64


class Trait(enum.IntFlag):
    """An unusual property of an image."""

    CMYK = enum.auto()
    DEEP = enum.auto()
    PALETTE = enum.auto()
    ALPHA = enum.auto()
    TURNED = enum.auto()
    ANIMATED = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Headers:
    """One row per image of an index; zeros if the header cannot be read.

    Args:
        width: In pixels, after the EXIF orientation, int32 ``[n]``.
        height: In pixels, after the EXIF orientation, int32 ``[n]``.
        traits: Combinations of `Trait`, uint8 ``[n]``.
    """

    width: np.ndarray
    height: np.ndarray
    traits: np.ndarray

    def middle_side(self, positions: np.ndarray) -> float | None:
        """The median of the shorter sides of some images, in pixels; None if no header could be read."""
        sides = np.minimum(self.width[positions], self.height[positions])
        return float(np.median(sides[sides > 0])) if sides.any() else None

    def proportions(self, positions: np.ndarray) -> np.ndarray:
        """Width over height of some images, float32 ``[n]``; 1 if the header could not be read."""
        return (np.maximum(self.width[positions], 1) / np.maximum(self.height[positions], 1)).astype(np.float32)


def headers(index: ImageIndex, *, threads: int | None = None) -> Headers:
    """Read every image's header.

    Args:
        index: The images.
        threads: Number of reading threads; None takes one per processor.
    """
    width, height = np.zeros(len(index), np.int32), np.zeros(len(index), np.int32)
    traits = np.zeros(len(index), np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(index))):
            try:
                info = probe(index.read(i))
            except ImageError:
                continue
            (width[i], height[i]), traits[i] = info.shown, _traits(info)

    pool = ThreadPoolExecutor(threads or cpu_threads(), thread_name_prefix="striate-headers")
    try:
        for _ in pool.map(fill, range(0, len(index), _CHUNK)):
            pass
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return Headers(width=width, height=height, traits=traits)


def _traits(info: ImageInfo) -> Trait:
    found = Trait(0)
    if info.mode == "CMYK":
        found |= Trait.CMYK
    if info.mode.startswith("I"):
        found |= Trait.DEEP
    if info.mode.startswith("P"):
        found |= Trait.PALETTE
    if info.transparent:
        found |= Trait.ALPHA
    if info.orientation != 1:
        found |= Trait.TURNED
    if info.frames > 1:
        found |= Trait.ANIMATED
    return found
