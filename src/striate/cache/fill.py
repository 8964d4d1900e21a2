"""The cached pass: images through a function once, a row each, kept on disk under the image's own digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from striate.cache.keys import of_image
from striate.cache.store import RowStore
from striate.core.errors import DataError, ImageError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.core.words import printable
from striate.data.audit import notes_of, unreadable_images
from striate.data.digest import forget
from striate.data.index import ImageIndex
from striate.data.loaders import CHANGED, Batch, batches

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

    Images that are there already do not run again, unless their rows have changed on the disk. Rows are written as they
    come, so an extraction that was interrupted resumes where it stopped, with the batches that it would have had. The
    content of each image is hashed as it is decoded, so that a row never stands under the digest of another content.
    Only what a decoder says of complete bytes is remembered, and even that is tried again.

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
    before = dict(known_unreadable or {})
    with store.writing():
        first = {of_image(digests[p]): int(p) for p in reversed(positions)}  # of equal images one runs
        store.forget_damaged(first)
        missing = sorted(p for key, p in first.items() if key not in store)
        doubtful = sorted(p for key, p in first.items() if store.unreadable(key))
        work = _Work(
            store=store,
            decoded=lambda wanted: batches(index, wanted, preprocess, batch=batch, fast=fast, digests=digests),
            run=run,
            digests=digests,
            stops=lambda failed: max_unreadable is not None and len(before | failed) > max_unreadable,
        )
        if missing and prepare is not None:
            prepare()
        progress.phase(phase, len(missing), "image")
        work.do(missing, progress.step)
        work.do(doubtful, None)
    if CHANGED in work.failed.values():
        forget(index)  # if the digest is wrong and not the image, it would be wrong for ever
    reasons = {of_image(digests[p]): reason for p, reason in work.failed.items()}
    unreadable = {int(p): reasons[key] for p in positions if (key := of_image(digests[p])) in reasons}
    if work.stops(unreadable):
        raise _too_many_unreadable(index, before | unreadable)
    return Pass(
        computed=len(missing),
        found=len(positions) - len(missing),
        unreadable=unreadable,
        waited_s=work.waited_s,
        seconds=time.monotonic() - began,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Work:
    """Images through a function into a store.

    Args:
        store: Receives the rows; it is held for writing.
        decoded: From positions to decoded batches.
        run: As in `fill`.
        digests: sha256 of every image of the index.
        stops: Whether these failures make the pass fail, so that the rest is only decoded.
        failed: Reason by position.
        waited_s: Seconds without a decoded batch.
    """

    store: RowStore
    decoded: Callable[[Sequence[int]], Generator[Batch]]
    run: Callable[[np.ndarray], np.ndarray]
    digests: Sequence[str]
    stops: Callable[[dict[int, str]], bool]
    failed: dict[int, str] = field(default_factory=dict)
    waited_s: float = 0.0

    def do(self, wanted: Sequence[int], step: Callable[[int], None] | None) -> None:
        """Compute and write the rows of some images; `step` receives how many are done."""
        keys: list[bytes] = []
        rows: list[np.ndarray] = []
        readable: list[bool] = []
        done = 0

        def write() -> None:
            if keys:
                self.store.append(keys, np.concatenate(rows), readable)
                keys.clear()
                rows.clear()
                readable.clear()

        with closing(self.decoded(wanted)) as stream:
            for number, each in enumerate(stream, start=1):
                self.waited_s += each.waited_s
                self.failed |= each.failed
                done += len(each.positions)
                if step is not None:
                    step(done)
                if self.stops(self.failed):
                    continue
                named = [of_image(self.digests[int(p)]) for p in each.positions]
                new = [
                    place
                    for place, (p, key) in enumerate(zip(each.positions.tolist(), named, strict=True))
                    if p not in each.passing and not (p in each.failed and self.store.unreadable(key))
                ]
                if new:
                    rows.append(self.run(each.pixels)[new])
                    keys += [named[place] for place in new]
                    readable += [each.positions[place] not in each.failed for place in new]
                if number % _BATCHES_A_WRITE == 0:
                    write()
        write()


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
    lines = [printable(note) for note in notes_of(unreadable_images(index, unreadable), shown=20)]
    return DataError(
        "\n  ".join([f"{len(unreadable)} of {len(index)} images in {index.source} cannot be read:", *lines]),
        hint="fix or remove them, or allow more with --max-unreadable",
    )
