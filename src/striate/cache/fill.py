"""The cached pass: images through a function once, a row each, kept on disk under the image's own digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from striate.cache.keys import of_image
from striate.cache.store import RowStore
from striate.core.errors import DataError, ImageError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.audit import unreadable_images
from striate.data.decode import decode
from striate.data.index import ImageIndex
from striate.data.loaders import batches

_BATCHES_A_WRITE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What an extraction did.

    Args:
        computed: Images that were computed.
        found: Images whose rows were in the cache.
        unreadable: Reason by position in the index.
        waited_s: Seconds in which the network waited for images.
        seconds: In all.
    """

    computed: int
    found: int
    unreadable: dict[int, str]
    waited_s: float
    seconds: float


def fill(
    store: RowStore,
    index: ImageIndex,
    positions: Sequence[int],
    digests: Sequence[str],
    preprocess: Preprocess,
    run: Callable[[np.ndarray], np.ndarray],
    *,
    batch: int,
    progress: ProgressCallback,
    fast: bool = False,
    max_unreadable: int | None = None,
    known_unreadable: Mapping[int, str] | None = None,
    phase: str = "extracting features",
    prepare: Callable[[], object] | None = None,
) -> Pass:
    """See to it that `store` has a row for every image.

    Images that are there already do not run again. Rows are written as they come, so an extraction that was
    interrupted resumes where it stopped, with the batches that it would have had.

    Args:
        store: Where the rows are kept.
        index: The images.
        positions: Which of them.
        digests: sha256 of every image of the index.
        preprocess: How they are decoded.
        run: From up to `batch` decoded images to their rows.
        batch: Images per batch.
        progress: Receives progress.
        fast: Whether large images are reduced with the fast filter.
        max_unreadable: More unreadable images than this make the pass fail; None allows any number. The remaining
            images are still decoded, so that the error names all.
        known_unreadable: Images already known to be unreadable, reason by position. They count too.
        phase: Name of the phase for the progress callback.
        prepare: Called before the first image runs, if one has to; None calls nothing.

    Raises:
        DataError: Too many images cannot be read; the message names them.
    """
    began = time.monotonic()
    unreadable: dict[int, str] = {}
    before = dict(known_unreadable or {})
    waited = 0.0

    def too_many() -> bool:
        return max_unreadable is not None and len(before | unreadable) > max_unreadable

    with store.writing():
        first = {of_image(digests[p]): int(p) for p in reversed(positions)}  # of equal images one runs
        missing = sorted(p for key, p in first.items() if key not in store)
        if missing and prepare is not None:
            prepare()
        progress.phase(phase, len(missing), "image")
        keys: list[bytes] = []
        rows: list[np.ndarray] = []
        readable: list[bool] = []
        done = 0

        def write() -> None:
            if keys:
                store.append(keys, np.concatenate(rows), readable)
                keys.clear()
                rows.clear()
                readable.clear()

        with closing(batches(index, missing, preprocess, batch=batch, fast=fast)) as stream:
            for number, each in enumerate(stream, start=1):
                waited += each.waited_s
                unreadable |= each.failed
                done += len(each.positions)
                progress.step(done)
                if too_many():
                    continue
                rows.append(run(each.pixels))
                keys += [of_image(digests[int(p)]) for p in each.positions]
                readable += [p not in each.failed for p in each.positions]
                if number % _BATCHES_A_WRITE == 0:
                    write()
        write()
    for position in positions:
        if store.unreadable(of_image(digests[position])) and position not in unreadable:
            unreadable[int(position)] = _reason(index, int(position), preprocess, fast=fast)
    if too_many():
        raise _too_many_unreadable(index, before | unreadable)
    return Pass(
        computed=done,
        found=len(positions) - done,
        unreadable=unreadable,
        waited_s=waited,
        seconds=time.monotonic() - began,
    )


def unread(index: ImageIndex, digests: Sequence[str]) -> dict[int, str]:
    """Images whose bytes could not be read for hashing: the reason by position."""
    reasons: dict[int, str] = {}
    for position in (i for i, digest in enumerate(digests) if not digest):
        try:
            index.read(position)
            reasons[position] = "could not be read at first"
        except ImageError as error:
            reasons[position] = error.message
    return reasons


def _too_many_unreadable(index: ImageIndex, unreadable: Mapping[int, str]) -> DataError:
    """The error that stops a run on data that is largely unreadable."""
    lines = [f"  {issue.detail}" for issue in unreadable_images(index, unreadable)]
    lines += [f"  {index.names[p]}: {reason}" for p, reason in sorted(unreadable.items())[:20]]
    more = f"\n  and {len(unreadable) - 20} more" if len(unreadable) > 20 else ""
    return DataError(
        f"{len(unreadable)} of {len(index)} images in {index.source} cannot be read:\n" + "\n".join(lines) + more,
        hint="fix or remove them, or allow more with --max-unreadable",
    )


def _reason(index: ImageIndex, position: int, preprocess: Preprocess, *, fast: bool) -> str:
    try:
        decode(index.read(position), preprocess, fast=fast)
    except ImageError as error:
        return error.message
    return "could not be read when it was first tried"
