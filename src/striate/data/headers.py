"""The image headers of a dataset, in a few bytes per image."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from striate.core.device import cpu_threads
from striate.core.errors import ImageError, OutOfMemoryError
from striate.core.words import plural
from striate.data.decode import largest_sample
from striate.data.image_index import ImageIndex
from striate.data.opened import ImageInfo, probe

_CHUNK = 64

LEVELS_SAMPLE = 100
"""Images of 16 bits whose levels are looked at, evenly spread."""

TWELVE_BITS = 4095


class Trait(enum.IntFlag):
    """An unusual property of an image."""

    CMYK = enum.auto()
    DEEP = enum.auto()
    PALETTE = enum.auto()
    ALPHA = enum.auto()
    TURNED = enum.auto()
    ANIMATED = enum.auto()
    PAGES = enum.auto()
    METADATA = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Headers:
    """One row per image of an index; zeros if the header cannot be read.

    Args:
        width: In pixels, after the EXIF orientation, int32 ``[n]``.
        height: In pixels, after the EXIF orientation, int32 ``[n]``.
        traits: Combinations of `Trait`, uint16 ``[n]``.
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
    traits = np.zeros(len(index), np.uint16)

    def fill(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(index))):
            try:
                info = probe(index.read(i))
            except (ImageError, OutOfMemoryError):
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
    if info.bits > 8 or info.mode.startswith("I"):
        found |= Trait.DEEP
    if info.mode.startswith("P"):
        found |= Trait.PALETTE
    if info.transparent:
        found |= Trait.ALPHA
    if info.orientation != 1:
        found |= Trait.TURNED
    if info.animated:
        found |= Trait.ANIMATED
    if info.pages:
        found |= Trait.PAGES
    if info.damaged_metadata:
        found |= Trait.METADATA
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrow:
    """Images that store 16 bits and use 12, so that they are nearly black.

    Args:
        positions: Those among the images that were looked at.
        looked_at: How many images of 16 bits were looked at.
    """

    positions: tuple[int, ...]
    looked_at: int

    @property
    def common(self) -> bool:
        """Whether they are too many to be dark images by chance: a tenth of those that were looked at."""
        return bool(self.positions) and 10 * len(self.positions) >= self.looked_at

    def __str__(self) -> str:
        return (
            f"{len(self.positions)} of {plural(self.looked_at, 'image')} of 16 bits that were looked at never exceed "
            f"{TWELVE_BITS} of 65535, as images of a 12-bit camera do, and are nearly black for a network; multiply "
            "their values by 16, or save them with 8 bits"
        )


def narrow(index: ImageIndex, positions: Sequence[int] | np.ndarray) -> Narrow:
    """Look for images that store 16 bits and never exceed 4095. Entirely black ones do not count.

    Args:
        index: The images.
        positions: Which of them to look at, whatever their depth; at most `LEVELS_SAMPLE` of them, evenly spread.
    """
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(LEVELS_SAMPLE, len(positions))).astype(int))
    found, looked_at = [], 0
    for position in (int(positions[place]) for place in chosen):
        try:
            largest = largest_sample(index.read(position))
        except (ImageError, OutOfMemoryError):
            continue
        if largest is not None:
            looked_at += 1
            found += [position] * (0 < largest <= TWELVE_BITS)
    return Narrow(positions=tuple(found), looked_at=looked_at)
