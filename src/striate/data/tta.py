"""The pixels of the copies of an image for test-time augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.core.errors import PlanError
from striate.core.preprocess import Preprocess
from striate.records.tta import TTAPolicy, View


def canvas(preprocess: Preprocess, views: TTAPolicy) -> Preprocess:
    """The preprocessing of images that contain all augmented copies.

    Copies beside the centre need pixels that the centre crop leaves out: a square with the shorter side of the resized
    image. It is up to 3 px smaller if that keeps the margins even, so that the central copy equals the centre crop
    without augmentation.

    Args:
        preprocess: The preprocessing that the network needs.
        views: The test-time augmentation.

    Raises:
        PlanError: The network takes the whole image, so there are no pixels beside the centre crop.
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
    """One augmented copy of each decoded image.

    Args:
        pixels: Images decoded as `canvas` says, ``[n, height, width, channels]``.
        view: The copy.
        size: Height and width of the network's input.

    Returns:
        ``[n, *size, channels]``, contiguous.
    """
    lengths = list(zip(pixels.shape[1:3], size, strict=True))
    top, left = (round(fraction * (whole - part)) for fraction, (whole, part) in zip(view.place, lengths, strict=True))
    cropped = pixels[:, top : top + size[0], left : left + size[1]]
    down, right = (_moved(fraction, length) for fraction, length in zip(view.shift, size, strict=True))
    if down or right:
        around = [(0, 0), (abs(down),) * 2, (abs(right),) * 2, (0, 0)]
        padded = np.pad(cropped, around, mode="reflect")
        top, left = abs(down) - down, abs(right) - right
        cropped = padded[:, top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(cropped[:, :, ::-1] if view.mirror else cropped)


def _moved(fraction: float, length: int) -> int:
    """A fraction of a length in whole pixels, at least one pixel unless it is 0."""
    if fraction == 0:
        return 0
    return round(fraction * length) or (1 if fraction > 0 else -1)
