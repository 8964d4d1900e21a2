"""Decoded training images with their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from striate.tasks.base import Targets


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImages:
    """Decoded images with their targets.

    Args:
        pixels: uint8 ``[n, h, w, channels]``; may be memory-mapped.
        targets: One item per image.
        digests: sha256 of every image's file, in hex.
    """

    pixels: np.ndarray
    targets: Targets
    digests: Sequence[str]

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def names(self) -> np.ndarray:
        """A number for every image that depends only on its content, int64 ``[n]``: the key of its augmentation."""
        return np.array([int(digest[:15], 16) for digest in self.digests], dtype=np.int64)
