"""Images decoded once, as bytes on disk that training reads as it needs them."""

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
"""Images between two writes."""


@final
class Decoded:
    """A folder of decoded images.

    Args:
        index: All images.
        digests: sha256 of each.
        preprocess: How they are decoded.
        where: The folder.
        fast: Whether they are reduced by the fast filter.
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
        """Decode what is not there yet.

        Args:
            positions: Of the images.
            progress: Receives progress.
            max_unreadable: Largest number of unreadable images; None allows any number.
            known_unreadable: Images that could not be read before, reason by position; they count too.

        Returns:
            What cannot be read, with the reason; `known_unreadable` is among it.

        Raises:
            DataError: There are more; the message names them.
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
