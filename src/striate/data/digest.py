"""The identity of images: what their bytes are, whatever they are called."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from striate.core import atomic, paths
from striate.core.device import cpu_threads
from striate.core.errors import CheckpointError, ImageError
from striate.core.events import ProgressCallback
from striate.data.image_index import ImageIndex

_SETTLED_NS = 2_000_000_000
_CHUNK = 64


def digests(index: ImageIndex, progress: ProgressCallback, *, threads: int | None = None) -> tuple[str, ...]:
    """The sha256 of every image's bytes.

    Digests are remembered in the cache folder. An image is read again unless its stamp (size, inode, times of writing
    and of any change) is the same as then, and its last change was at least two seconds old when it was read: a file
    that changes twice within the grain of the file system's clock is thus never treated as unchanged.

    Args:
        index: The images.
        progress: Receives the number of files done.
        threads: Reading threads; None takes one a processor.

    Returns:
        For each image 64 hexadecimal digits, over the shape as well for arrays; "" for an image that cannot be read.
    """
    progress.phase("hashing files", len(index), "image")
    memory = _Memory(index)
    keys = np.zeros((len(index), 2), dtype=np.uint64)
    found: list[str] = [""] * len(index)

    def fill(start: int) -> int:
        stop = min(start + _CHUNK, len(index))
        for i in range(start, stop):
            stamp = index.stamp(i)
            key = _key(index.names[i], stamp)
            known = memory.find(key)
            if known is None:
                settled = time.time_ns() - int(stamp.rpartition(":")[2]) > _SETTLED_NS
                known = digest(index, i)
                if not settled or index.stamp(i) != stamp:
                    key = _UNKEPT
            found[i] = known
            keys[i] = key
        return stop - start

    done = 0
    pool = ThreadPoolExecutor(threads or cpu_threads(), thread_name_prefix="striate-digest")
    try:
        for count in pool.map(fill, range(0, len(index), _CHUNK)):
            done += count
            progress.step(done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    memory.save(keys, found)
    return tuple(found)


def digest(index: ImageIndex, i: int) -> str:
    """The sha256 of image `i`, read now; "" when it cannot be read."""
    try:
        raw = index.read(i)
    except ImageError:
        return ""
    if isinstance(raw, bytes):
        return hashlib.sha256(raw).hexdigest()
    return hashlib.sha256(repr(raw.shape).encode() + raw.tobytes()).hexdigest()


def write_set(path: Path, digests: Iterable[str]) -> None:
    """Keep which images something has seen: 8 bytes an image, whole or not at all.

    Args:
        path: A ``.npy`` file in a folder that exists.
        digests: Theirs.

    Raises:
        StorageError: The file cannot be written.
    """
    with atomic.replacing(path) as stream:
        np.save(stream, np.unique(_beginnings(digests)), allow_pickle=False)


def count_in_set(path: Path, digests: Iterable[str]) -> int:
    """How many images are among those that `write_set` kept.

    64 bits of a digest are compared; among ten million images on either side two are mistaken for one with a chance
    of 1 in 180,000.

    Raises:
        CheckpointError: The file is damaged.
    """
    try:
        kept = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        hint = "remove it; then nothing is known of the images that were seen"
        raise CheckpointError(f"{path} is damaged: {error}", hint=hint) from error
    return int(np.isin(_beginnings(digests), kept).sum())


def _beginnings(digests: Iterable[str]) -> np.ndarray:
    """The first 64 bits of each digest; those that are "" have none."""
    return np.array([int(each[:16], 16) for each in digests if each], dtype=np.uint64)


_UNKEPT = (0, 0)


def _key(name: str, stamp: str) -> tuple[int, int]:
    """128 bits for a name and stamp."""
    block = hashlib.blake2b(f"{name}\0{stamp}".encode(), digest_size=16).digest()
    return int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")


class _Memory:
    """Digests found earlier for the same source: 48 bytes an image, in one file that is replaced whole."""

    def __init__(self, index: ImageIndex) -> None:
        place = f"{index.kind}\0{Path(index.source).expanduser().resolve()}"
        self._path = paths.home() / "digests" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.npy"
        self._table = self._load()

    def _load(self) -> np.ndarray:
        """Rows of key and digest, ordered by the key's first half; empty where there are none or they are damaged."""
        try:
            table = np.load(self._path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # only time is lost: every image is then read
            return np.zeros((0, 6), dtype=np.uint64)
        right = table.ndim == 2 and table.shape[1] == 6 and table.dtype == np.uint64
        return table if right else np.zeros((0, 6), dtype=np.uint64)

    def find(self, key: tuple[int, int]) -> str | None:
        """The digest kept under `key`."""
        row = int(np.searchsorted(self._table[:, 0], np.uint64(key[0])))
        if row < len(self._table) and (int(self._table[row, 0]), int(self._table[row, 1])) == key:
            return self._table[row, 2:].tobytes().hex()
        return None

    def save(self, keys: np.ndarray, found: list[str]) -> None:
        """Keep the digests whose key is not `_UNKEPT`, in place of what was kept."""
        rows = np.array([i for i in range(len(found)) if found[i] and keys[i].any()], dtype=np.int64)
        table = np.zeros((len(rows), 6), dtype=np.uint64)
        table[:, :2] = keys[rows]
        for place, i in enumerate(rows.tolist()):
            table[place, 2:] = np.frombuffer(bytes.fromhex(found[i]), np.uint64)
        table = table[np.argsort(table[:, 0], kind="stable")]
        if not np.array_equal(table, self._table):
            atomic.make_folder(self._path.parent)
            with atomic.replacing(self._path) as stream:
                np.save(stream, table, allow_pickle=False)
