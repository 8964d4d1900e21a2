"""The default pretrained network: chosen by the images, among the weights that are available."""

from __future__ import annotations

import numpy as np

from striate.core.errors import ImageError, WeightsNotFoundError
from striate.data.index import ImageIndex
from striate.data.opened import probe
from striate.weights.fetch import pick

SAMPLE = 100
SMALL_PX = 64
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "F"})


def suggest(index: ImageIndex) -> tuple[str, str]:
    """A network's name, and why.

    Args:
        index: The images; the headers of about a hundred, evenly spread, are looked at.
    """
    sides, grey = [], []
    for i in np.unique(np.linspace(0, len(index) - 1, SAMPLE).astype(int)):
        try:
            info = probe(index.read(int(i)))
        except ImageError:
            continue
        sides.append(min(info.width, info.height))
        grey.append(info.mode in GREY_MODES)
    side = float(np.median(sides)) if sides else 224.0
    if side <= SMALL_PX and grey and all(grey):
        return "lenet5", f"small greyscale images (median shorter side {side:.0f} px)"
    if side <= SMALL_PX:
        return "resnet20_cifar", f"small colour images (median shorter side {side:.0f} px)"
    try:
        picked = pick("mobilenet_v2", "default", allow_download=True)
    except WeightsNotFoundError as error:
        return "resnet20_cifar", f"the best bundled network; mobilenet_v2 suits photos better, but {error.message}"
    return "mobilenet_v2", f"photos (median shorter side {side:.0f} px); {picked.note or 'its default weights'}"
