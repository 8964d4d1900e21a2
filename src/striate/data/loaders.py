"""Decoded batches, prepared ahead of time by threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from striate.core.device import cpu_threads
from striate.core.errors import ImageError, ImageReadError, OutOfMemoryError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.data.digest import of_content
from striate.data.opened import RawImage

CHANGED = "its content has changed since it was hashed"
"""The reason for an image whose content is not what its digest says."""


class ImageSource(Protocol):
    """Images by number, such as an `ImageIndex`; any number of threads may read at once."""

    def read(self, i: int) -> RawImage:
        """Image `i`, as `decode` takes it.

        Raises:
            ImageError: The image cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Images at a network's size.

    Args:
        positions: Positions in the index, int64 ``[n]``.
        pixels: uint8 ``[n, h, w, c]``; zeros for an image that could not be read.
        failed: Positions that could not be read, with the reason. Leave their rows out; nothing stands in for them.
        passing: Those of them that say nothing about the image: its bytes could not be had, or had changed, or memory
            was full. Another time they may be readable.
        waited_s: How long the taker had to wait for this batch.
    """

    positions: np.ndarray
    pixels: np.ndarray
    failed: dict[int, str]
    passing: frozenset[int]
    waited_s: float


def batches(
    index: ImageSource,
    positions: Sequence[int] | np.ndarray,
    preprocess: Preprocess,
    *,
    batch: int,
    threads: int | None = None,
    fast: bool = False,
    ahead: int = 3,
    digests: Sequence[str] | None = None,
) -> Generator[Batch]:
    """Decode images in order, some batches ahead.

    What is in a batch depends on `positions` and `batch` alone. At most ``ahead + 1`` batches are in memory. Closing
    the iterator, or an interrupt while it waits, stops the threads before it returns.

    Args:
        index: The images.
        positions: Which, in which order.
        preprocess: What the network expects.
        batch: Images a batch, at least 1; the last one may have fewer.
        threads: Decoding threads; None takes one a processor.
        fast: As in `decode`.
        ahead: Batches that may wait for the taker, at least 1.
        digests: sha256 that the content of every image of the index must have; None takes any content.

    Yields:
        The batches, in order.
    """
    if batch < 1 or ahead < 1 or (threads is not None and threads < 1):
        raise ValueError(f"batch, ahead and threads are at least 1; got {batch}, {ahead}, {threads}")
    order = np.asarray(positions, dtype=np.int64)
    workers = threads or cpu_threads()
    stop = threading.Event()
    pending: deque[_Pending] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="striate-decode")
    starts = iter(range(0, len(order), batch))
    try:
        while True:
            while len(pending) < ahead and (start := next(starts, None)) is not None:
                chosen = order[start : start + batch]
                pixels = np.zeros((len(chosen), *preprocess.size, preprocess.in_channels), dtype=np.uint8)
                # Two parts a thread: few enough to cost nothing, enough that no thread ends long before the others.
                parts = [
                    pool.submit(_fill, index, preprocess, fast, digests, stop, chosen, pixels, rows)
                    for rows in np.array_split(np.arange(len(chosen)), min(2 * workers, len(chosen)))
                ]
                pending.append(_Pending(chosen, pixels, parts))
            if not pending:
                return
            yield pending.popleft().wait()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class _Pending:
    positions: np.ndarray
    pixels: np.ndarray
    parts: list[Future[tuple[dict[int, str], set[int]]]]

    def wait(self) -> Batch:
        began = time.perf_counter()
        failed: dict[int, str] = {}
        passing: set[int] = set()
        for part in self.parts:
            reasons, some = part.result()
            failed |= reasons
            passing |= some
        waited = time.perf_counter() - began
        return Batch(
            positions=self.positions,
            pixels=self.pixels,
            failed=failed,
            passing=frozenset(passing),
            waited_s=waited,
        )


def _fill(
    index: ImageSource,
    preprocess: Preprocess,
    fast: bool,
    digests: Sequence[str] | None,
    stop: threading.Event,
    positions: np.ndarray,
    pixels: np.ndarray,
    rows: np.ndarray,
) -> tuple[dict[int, str], set[int]]:
    """Decode the images of some rows into `pixels`; those that could not be, with the reason, and the passing ones."""
    failed: dict[int, str] = {}
    passing: set[int] = set()
    for row in rows:
        if stop.is_set():
            break
        position = int(positions[row])
        try:
            pixels[row] = decode(_read(index, position, digests), preprocess, fast=fast)
        except (ImageError, OutOfMemoryError) as error:
            failed[position] = error.message
            if isinstance(error, ImageReadError | OutOfMemoryError):
                passing.add(position)
    return failed, passing


def _read(index: ImageSource, position: int, digests: Sequence[str] | None) -> RawImage:
    """Image `position`, checked to be the one that was hashed.

    Raises:
        ImageReadError: It cannot be read, or is another.
    """
    try:
        raw = index.read(position)
    except ImageReadError:
        raise
    except ImageError as error:
        raise ImageReadError(error.message, hint=error.hint) from error
    if digests is not None and not isinstance(raw, Image.Image) and of_content(raw) != digests[position]:
        raise ImageReadError(CHANGED, hint="run the command again")
    return raw
