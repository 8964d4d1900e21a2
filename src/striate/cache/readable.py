"""Which images can be decoded, remembered under their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from striate.cache import keys
from striate.cache.fill import fill
from striate.cache.store import RowStore
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex

_BATCH = 32


def find_unreadable(
    index: ImageIndex,
    digests: Sequence[str],
    positions: np.ndarray,
    preprocess: Preprocess,
    *,
    cache: Path,
    fast: bool,
    max_unreadable: int,
    known_unreadable: Mapping[int, str],
    progress: ProgressCallback,
) -> dict[int, str]:
    """The images that cannot be decoded, with the reason by position.

    Args:
        index: All images.
        digests: sha256 of each.
        positions: Which images to decode.
        preprocess: How to decode them.
        cache: Folder of the cache.
        fast: Whether large images are reduced with the fast filter.
        max_unreadable: As in `cache.fill.fill`.
        known_unreadable: As in `cache.fill.fill`.
        progress: Receives progress.

    Raises:
        DataError: More than `max_unreadable` images cannot be read.
    """
    name = keys.of_folder(purpose="readable", preprocess=preprocess, fast=fast)
    return fill(
        RowStore(cache / name, (1,), "uint8"),
        index,
        [int(p) for p in positions],
        digests,
        preprocess,
        lambda pixels: np.ones((len(pixels), 1), np.uint8),
        batch=_BATCH,
        progress=progress,
        fast=fast,
        max_unreadable=max_unreadable,
        known_unreadable=known_unreadable,
        phase="checking the test images",
    ).unreadable
