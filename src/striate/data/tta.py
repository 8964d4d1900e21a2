"""The pixels of a view: what a network is shown when it looks at an image more than once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.core.errors import PlanError
from striate.core.preprocess import Preprocess
from striate.records.tta import TTAPolicy, View


def canvas(preprocess: Preprocess, views: TTAPolicy) -> Preprocess:
    """How images are decoded so that all views lie within.

    Views that lie beside the middle need what the centre crop leaves out: the square of the resized image's shorter
    side. Up to 3 px less where that keeps the margins even, so that the view in the middle lies where the network looks
    without any views.

    Args:
        preprocess: The network's own.
        views: What is to be seen.

    Raises:
        PlanError: The network takes the whole image, and nothing lies beside it.
    """
    if not views.crops:
        return preprocess
    side = preprocess.shorter_side
    height, width = (least + (side - least) // 4 * 4 for least in preprocess.size)
    if preprocess.fit == "stretch" or (height, width) == preprocess.size:
        raise PlanError(
            f"{views.name} looks beside the middle of images, and this network sees the whole of them",
            hint="choose views that move or mirror: shift, mirror or mirror-shift",
        )
    return replace(preprocess, size=(height, width), resize=side)


def see(pixels: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """One view of decoded images.

    Args:
        pixels: As `canvas` has them decoded, ``[n, height, width, channels]``.
        view: Which.
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
    """A share of a length in whole pixels, at least one where it is not 0."""
    if share == 0:
        return 0
    return round(share * length) or (1 if share > 0 else -1)
