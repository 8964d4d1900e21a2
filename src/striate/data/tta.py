"""The pixels of the copies of an image for test-time augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.core.errors import PlanError
from striate.core.preprocess import Preprocess
from striate.records.tta import TTAPolicy, View


def canvas(preprocess: Preprocess, views: TTAPolicy) -> Preprocess:
    """How images are decoded so that all copies lie within.

    Copies that lie beside the centre need what the centre crop leaves out: the square of the resized image's shorter
    side. Up to 3 px less where that keeps the margins even, so that the central copy lies where the network looks
    without augmentation.

    Args:
        preprocess: The network's own.
        views: The test-time augmentation.

    Raises:
        PlanError: The network takes the whole image, and nothing lies beside it.
    """
    if not views.crops:
        return preprocess
    side = preprocess.shorter_side
    height, width = (least + (side - least) // 4 * 4 for least in preprocess.size)
    if preprocess.fit == "stretch" or (height, width) == preprocess.size:
        raise PlanError(
            f"{views.name} needs pixels beside the centre crop, and this network already uses the whole image",
            hint="choose shift, mirror or mirror-shift",
        )
    return replace(preprocess, size=(height, width), resize=side)


def see(pixels: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """One copy of decoded images.

    Args:
        pixels: As `canvas` has them decoded, ``[n, height, width, channels]``.
        view: Which copy.
        size: Height and width of the network's input.

    Returns:
        ``[n, *size, channels]``, contiguous.
    """
    lengths = list(zip(pixels.shape[1:3], size, strict=True))
    top, left = (round(share * (whole - part)) for share, (whole, part) in zip(view.place, lengths, strict=True))
    seen = pixels[:, top : top + size[0], left : left + size[1]]
    down, right = (_moved(share, length) for share, length in zip(view.shift, size, strict=True))
    if down or right:
        around = [(0, 0), (abs(down),) * 2, (abs(right),) * 2, (0, 0)]
        padded = np.pad(seen, around, mode="reflect")
        top, left = abs(down) - down, abs(right) - right
        seen = padded[:, top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(seen[:, :, ::-1] if view.mirror else seen)


def _moved(share: float, length: int) -> int:
    """A fraction of a length in whole pixels, at least one pixel unless it is 0."""
    if share == 0:
        return 0
    return round(share * length) or (1 if share > 0 else -1)
