"""How long one prediction takes on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import RawImage, decode
from striate.data.loaders import ImageSource
from striate.inference.engines import EagerEngine

IMAGES, ENOUGH_S = 16, 1.0


def prediction_seconds(
    module: nn.Module, preprocess: Preprocess, images: ImageSource, positions: Sequence[int], device: torch.device
) -> float | None:
    """Median seconds from an encoded image in memory to its output, one image at a time, as `predict` runs a few.

    Args:
        module: uint8 ``[n, h, w, channels]`` to outputs.
        preprocess: How the images are decoded.
        images: All images.
        positions: Which of them to try: at most 16, and no further ones after a second.
        device: Where the network runs.

    Returns:
        The median; None if fewer than two images can be read. The first image warms up and does not count.
    """
    engine = EagerEngine(module.to(device))
    took: list[float] = []
    began = time.perf_counter()
    for position in positions[: IMAGES + 1]:
        try:
            raw: RawImage = images.read(int(position))
            start = time.perf_counter()
            engine.run(decode(raw, preprocess)[None])  # its result is on the processor, so the device is done
        except ImageError:
            continue
        took.append(time.perf_counter() - start)
        if len(took) > 2 and time.perf_counter() - began > ENOUGH_S:
            break
    return statistics.median(took[1:]) if len(took) > 1 else None
