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

from striate.core.device import cpu_threads
from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import RawImage, decode


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
        waited_s: How long the taker had to wait for this batch.
    """

    positions: np.ndarray
    pixels: np.ndarray
    failed: dict[int, str]
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
                    pool.submit(_fill, index, preprocess, fast, stop, chosen, pixels, rows)
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
    parts: list[Future[dict[int, str]]]

    def wait(self) -> Batch:
        began = time.perf_counter()
        failed: dict[int, str] = {}
        for part in self.parts:
            failed |= part.result()
        waited = time.perf_counter() - began
        return Batch(positions=self.positions, pixels=self.pixels, failed=failed, waited_s=waited)


def _fill(
    index: ImageSource,
    preprocess: Preprocess,
    fast: bool,
    stop: threading.Event,
    positions: np.ndarray,
    pixels: np.ndarray,
    rows: np.ndarray,
) -> dict[int, str]:
    """Decode the images of some rows into `pixels`; those that could not be, with the reason."""
    failed: dict[int, str] = {}
    for row in rows:
        if stop.is_set():
            break
        position = int(positions[row])
        try:
            pixels[row] = decode(index.read(position), preprocess, fast=fast)
        except ImageError as error:
            failed[position] = error.message
    return failed
