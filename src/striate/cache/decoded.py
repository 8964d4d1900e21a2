"""Images decoded once, and kept on disk as uint8 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np

from striate.cache import keys
from striate.cache.fill import fill
from striate.cache.store import RowStore
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex

_BATCH = 256
"""Images per write."""


@final
class Decoded:
    """A folder of decoded images.

    Args:
        index: All images.
        digests: sha256 of each.
        preprocess: How they are decoded.
        where: The folder.
        fast: Whether large images are reduced with the fast filter.
    """

    def __init__(
        self, index: ImageIndex, digests: Sequence[str], preprocess: Preprocess, where: Path, *, fast: bool = False
    ) -> None:
        self._index, self._digests, self._preprocess, self._fast = index, digests, preprocess, fast
        self._where = where

    def decode(
        self,
        positions: np.ndarray,
        progress: ProgressCallback,
        *,
        max_unreadable: int | None = None,
        known_unreadable: Mapping[int, str] | None = None,
    ) -> dict[int, str]:
        """Decode the images that are not in the folder yet.

        Args:
            positions: Which images.
            progress: Receives progress.
            max_unreadable: Largest number of unreadable images; None allows any number.
            known_unreadable: Images that could not be read before, reason by position; they count too.

        Returns:
            The reason for every image that cannot be read, those of `known_unreadable` included.

        Raises:
            DataError: More images are unreadable; the message names them.
        """
        before = dict(known_unreadable or {})
        if not len(positions):
            return before
        done = fill(
            self._store(),
            self._index,
            [int(p) for p in positions],
            self._digests,
            self._preprocess,
            lambda pixels: pixels,
            batch=_BATCH,
            progress=progress,
            fast=self._fast,
            max_unreadable=max_unreadable,
            known_unreadable=before,
            phase="decoding images",
        )
        return before | done.unreadable

    def readable(self, positions: np.ndarray) -> np.ndarray:
        """Those of `positions` that were decoded."""
        keyed = [(int(p), key) for p, key in zip(positions, self._keys(positions), strict=True)]
        store = self._store()
        return np.array([p for p, key in keyed if key in store and not store.unreadable(key)], dtype=np.int64)

    @property
    def pixels(self) -> np.ndarray:
        """uint8 ``[rows, h, w, channels]``, memory-mapped."""
        return self._store().view()

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Where in `pixels` they are."""
        return self._store().places(self._keys(positions))

    def _store(self) -> RowStore:
        """The store as it is now: another process may have filled it."""
        return RowStore(self._where, (*self._preprocess.size, self._preprocess.in_channels), "uint8")

    def _keys(self, positions: np.ndarray) -> list[bytes]:
        return [keys.of_image(self._digests[int(p)]) for p in positions]
