"""What the headers of all pictures say, in a few bytes a picture."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np

from striate.core.device import cpu_threads
from striate.core.errors import PictureError
from striate.data.decode import PictureInfo, probe
from striate.data.image_index import ImageIndex

_CHUNK = 64
_SOME = 100
"""Headers that `middle_side` reads."""


class Trait(enum.IntFlag):
    """What is unusual about a picture."""

    CMYK = enum.auto()
    DEEP = enum.auto()
    PALETTE = enum.auto()
    ALPHA = enum.auto()
    TURNED = enum.auto()
    ANIMATED = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Headers:
    """A row for every picture of an index; zeros for one whose header cannot be read.

    Args:
        width: In pixels as stored, int32 ``[n]``.
        height: In pixels as stored, int32 ``[n]``.
        traits: Sums of `Trait`, uint8 ``[n]``.
    """

    width: np.ndarray
    height: np.ndarray
    traits: np.ndarray


def headers(index: ImageIndex, *, threads: int | None = None) -> Headers:
    """Read every picture's header.

    Args:
        index: The pictures.
        threads: Reading threads; None takes one a processor.
    """
    width, height = np.zeros(len(index), np.int32), np.zeros(len(index), np.int32)
    traits = np.zeros(len(index), np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(index))):
            try:
                info = probe(index.read(i))
            except PictureError:
                continue
            width[i], height[i], traits[i] = info.width, info.height, _traits(info)

    pool = ThreadPoolExecutor(threads or cpu_threads(), thread_name_prefix="striate-headers")
    try:
        for _ in pool.map(fill, range(0, len(index), _CHUNK)):
            pass
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return Headers(width=width, height=height, traits=traits)


def middle_side(index: ImageIndex, positions: Sequence[int] | np.ndarray) -> float | None:
    """The median of the shorter sides of some pictures, in pixels; None where no header can be read.

    Args:
        index: The pictures.
        positions: Of which a hundred at most, evenly spread, are looked at.
    """
    sides = []
    for place in np.unique(np.linspace(0, len(positions) - 1, _SOME).astype(int)) if len(positions) else ():
        try:
            info = probe(index.read(int(positions[place])))
        except PictureError:
            continue
        sides.append(min(info.width, info.height))
    return median(sides) if sides else None


def _traits(info: PictureInfo) -> Trait:
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
