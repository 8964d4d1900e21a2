"""The identity of images: the sha256 of their bytes, whatever their names."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from striate.core import atomic, paths
from striate.core.device import cpu_threads
from striate.core.errors import CheckpointError, ImageError, OutOfMemoryError
from striate.core.events import ProgressCallback
from striate.core.reading import reading
from striate.data.image_index import ImageIndex

SETTLED_NS = 2_000_000_000
"""A file that changed less than this before it was read may have changed again since, under the same stamp."""

_CHUNK = 64


def digests(index: ImageIndex, progress: ProgressCallback, *, threads: int | None = None) -> tuple[str, ...]:
    """The sha256 of every image's bytes.

    The cache folder keeps the digests. An image is read again unless its stamp (size, inode, mtime and ctime) is
    unchanged and its last change was at least two seconds old when it was read. A file that changes twice within the
    resolution of the file system's clock is therefore never treated as unchanged.

    Args:
        index: The images.
        progress: Receives the number of files done.
        threads: Number of reading threads; None takes one per processor.

    Returns:
        64 hexadecimal digits per image; "" for an image that cannot be read. Those of an array include its shape.
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
                settled = time.time_ns() - int(stamp.rpartition(":")[2]) > SETTLED_NS
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
    """The sha256 of image `i`, which is read now; "" if it cannot be read."""
    try:
        return of_content(index.read(i))
    except (ImageError, OutOfMemoryError):
        return ""


def of_content(raw: bytes | np.ndarray) -> str:
    """The sha256 of encoded bytes, or of pixels and their shape."""
    if isinstance(raw, bytes):
        return hashlib.sha256(raw).hexdigest()
    return hashlib.sha256(repr(raw.shape).encode() + raw.tobytes()).hexdigest()


def write_set(path: Path, digests: Iterable[str]) -> None:
    """Write a set of images to a file, atomically, with 8 bytes per image.

    Args:
        path: A ``.npy`` file in a folder that exists.
        digests: sha256 of each image.

    Raises:
        StorageError: The file cannot be written.
    """
    with atomic.replacing(path) as stream:
        np.save(stream, np.unique(_beginnings(digests)), allow_pickle=False)


def count_in_set(path: Path, digests: Iterable[str]) -> int:
    """How many images are in a set that `write_set` wrote.

    Only 64 bits of each digest are compared. With ten million images on both sides, the probability of a false match
    is 1 in 180,000.

    Raises:
        CheckpointError: The file is damaged.
    """
    hint = "remove it; it is then unknown which images were used for training"
    with reading(path, CheckpointError, "a set of images", hint=hint):
        kept = _read_array(path)
    return int(np.isin(_beginnings(digests), kept).sum())


def _read_array(path: Path) -> np.ndarray:
    """The uint64 ``[n]`` of a ``.npy`` file, whose length must be what its header says."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"version {version} of the format is not in use")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        left = path.stat().st_size - stream.tell()
        if dtype != np.uint64 or len(shape) != 1 or left != 8 * shape[0]:
            raise ValueError(f"{left:,} bytes do not hold {shape} numbers of type {dtype}")
        return np.frombuffer(stream.read(left), dtype=np.uint64)


def _beginnings(digests: Iterable[str]) -> np.ndarray:
    """The first 64 bits of each digest; empty digests are left out."""
    return np.array([int(each[:16], 16) for each in digests if each], dtype=np.uint64)


_UNKEPT = (0, 0)


def _key(name: str, stamp: str) -> tuple[int, int]:
    """128 bits for a name and stamp."""
    block = hashlib.blake2b(f"{name}\0{stamp}".encode(), digest_size=16).digest()
    return int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")


def forget(index: ImageIndex) -> None:
    """Forget the digests of a source, so that all of its images are read the next time."""
    with contextlib.suppress(OSError):  # there is none, or its folder cannot be written
        _memory_file(index).unlink()


def _memory_file(index: ImageIndex) -> Path:
    place = f"{index.kind}\0{Path(index.source).expanduser().resolve()}"
    return paths.home() / "digests" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.bin"


_ROW_BYTES = 48


class _Memory:
    """Earlier digests of the same source: 48 bytes per image behind their sha256, in one file, replaced atomically."""

    def __init__(self, index: ImageIndex) -> None:
        self._path = _memory_file(index)
        self._table = self._load()

    def _load(self) -> np.ndarray:
        """Rows of key and digest, sorted by the first half of the key; empty if the file is missing or damaged."""
        try:
            raw = self._path.read_bytes()
        except (OSError, MemoryError):  # nothing is lost but time: every image is read again
            raw = b""
        checksum, rows = raw[:32], raw[32:]
        if len(rows) % _ROW_BYTES or hashlib.sha256(rows).digest() != checksum:
            rows = b""
        return np.frombuffer(rows, dtype=np.uint64).reshape(-1, 6)

    def find(self, key: tuple[int, int]) -> str | None:
        """The digest of `key`; None if it is unknown."""
        row = int(np.searchsorted(self._table[:, 0], np.uint64(key[0])))
        if row < len(self._table) and (int(self._table[row, 0]), int(self._table[row, 1])) == key:
            return self._table[row, 2:].tobytes().hex()
        return None

    def save(self, keys: np.ndarray, found: list[str]) -> None:
        """Replace the file by the digests whose key is not `_UNKEPT`."""
        rows = np.array([i for i in range(len(found)) if found[i] and keys[i].any()], dtype=np.int64)
        table = np.zeros((len(rows), 6), dtype=np.uint64)
        table[:, :2] = keys[rows]
        for place, i in enumerate(rows.tolist()):
            table[place, 2:] = np.frombuffer(bytes.fromhex(found[i]), np.uint64)
        table = table[np.argsort(table[:, 0], kind="stable")]
        if not np.array_equal(table, self._table):
            atomic.make_folder(self._path.parent)
            rows = table.tobytes()
            atomic.write_bytes(self._path, hashlib.sha256(rows).digest() + rows)
