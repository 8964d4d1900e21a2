"""Rows of numbers on disk, each under a 32-byte key: what the cached pass leaves behind.

A folder holds ``rows.bin`` (rows of one shape and type, end to end), ``keys.bin`` (for each row a key, a flag and a
checksum of the three) and ``about.json``. Rows are appended and synced before their keys, so that whatever a kill
leaves behind, a key never stands for a row that is not whole. Keys name content, so nothing stale is served: a changed
image has another key. `forget_damaged` finds rows that have changed on the disk since they were written.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from filelock import FileLock, Timeout

from striate.core.atomic import explain, make_folder
from striate.core.errors import EngineError, StorageError
from striate.records import io

KEY_BYTES = 32
_ENTRY_BYTES = KEY_BYTES + 1 + 4
_WHOLE, _UNREADABLE = 0, 1


@final
class RowStore:
    """Rows by key.

    Args:
        folder: Where the rows are kept; it is created if needed.
        shape: Of one row.
        dtype: Of its numbers.
        about: Written beside the rows for people who look into the folder.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, ...], dtype: str, about: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = make_folder(folder)
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._places: dict[bytes, int] = {}
        self._unreadable: set[bytes] = set()
        self._checksums = np.empty(0, dtype=np.uint32)
        self._count = 0
        self._load()
        if not (folder / "about.json").exists():
            io.write(folder / "about.json", {"shape": shape, "dtype": str(self.dtype), **(about or {})})

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return key in self._places or key in self._unreadable

    def unreadable(self, key: bytes) -> bool:
        """Whether `key` stands for an image that could not be decoded."""
        return key in self._unreadable

    def _load(self) -> None:
        entries = _read(self.folder / "keys.bin")
        rows_there = _size(self.folder / "rows.bin") // self._row_bytes
        self._count = min(len(entries) // _ENTRY_BYTES, rows_there)
        self._places.clear()
        self._unreadable.clear()
        self._checksums = np.zeros(self._count, dtype=np.uint32)
        for place in range(self._count):
            entry = entries[place * _ENTRY_BYTES : (place + 1) * _ENTRY_BYTES]
            self._checksums[place] = int.from_bytes(entry[KEY_BYTES + 1 :], "little")
            self._note(entry[:KEY_BYTES], place, whole=entry[KEY_BYTES] == _WHOLE)

    def _note(self, key: bytes, place: int, *, whole: bool) -> None:
        """Keep where a row is. A later row under the same key stands for an earlier one."""
        self._places.pop(key, None)
        self._unreadable.discard(key)
        if whole:
            self._places[key] = place
        else:
            self._unreadable.add(key)

    def forget_damaged(self, keys: Iterable[bytes]) -> int:
        """Forget the rows of `keys` whose bytes are not those that were written; call it inside `writing`.

        Returns:
            How many were forgotten. They are computed again like rows that were never there.
        """
        rows, damaged = np.asarray(self.view()), 0  # rows of a memmap object would cost more than their checksum
        for key in keys:
            place = self._places.get(key)
            if place is not None and _checksum(key, _WHOLE, rows[place]) != self._checksums[place]:
                del self._places[key]
                damaged += 1
        return damaged

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for appending; another process waits, then reads what this one wrote.

        Raises:
            StorageError: Another process has held it for a day.
        """
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=86400)
        except Timeout as error:
            raise StorageError(f"another process holds {self.folder}", hint="stop it, or delete the folder") from error
        except OSError as error:
            raise explain(error, self.folder) from error
        try:
            self._load()
            yield
        finally:
            lock.release()

    def append(self, keys: Sequence[bytes], rows: np.ndarray, readable: Sequence[bool]) -> None:
        """Add rows under new keys; call it inside `writing`.

        Args:
            keys: One a row.
            rows: ``[n, *shape]``.
            readable: False where the row stands for an image that could not be decoded.

        Raises:
            EngineError: A row holds NaN or infinite numbers.
            StorageError: The disk is full. Earlier rows stay whole.
        """
        with np.errstate(over="ignore"):  # a number that is too large becomes infinite
            rows = np.ascontiguousarray(rows, dtype=self.dtype)
        if self.dtype.kind == "f" and not np.isfinite(rows).all():
            raise EngineError(
                "the network gives NaN or infinite features, or some too large for float16",
                hint="look for damage in its weights, or choose another network",
            )
        flags = [_WHOLE if ok else _UNREADABLE for ok in readable]
        checksums = [_checksum(*each) for each in zip(keys, flags, rows, strict=True)]
        entries = b"".join(
            key + bytes([flag]) + checksum.to_bytes(4, "little")
            for key, flag, checksum in zip(keys, flags, checksums, strict=True)
        )
        try:
            _append(self.folder / "rows.bin", self._count * self._row_bytes, rows.tobytes())
            _append(self.folder / "keys.bin", self._count * _ENTRY_BYTES, entries)
        except OSError as error:
            raise explain(error, self.folder) from error
        for place, (key, ok) in enumerate(zip(keys, readable, strict=True), start=self._count):
            self._note(key, place, whole=ok)
        self._checksums = np.concatenate([self._checksums, np.array(checksums, dtype=np.uint32)])
        self._count += len(keys)

    def view(self) -> np.ndarray:
        """All rows, memory-mapped read-only, ``[len(self), *shape]``."""
        if self._count == 0:
            return np.empty((0, *self.shape), dtype=self.dtype)
        return np.memmap(self.folder / "rows.bin", self.dtype, "r", shape=(self._count, *self.shape))

    def places(self, keys: Sequence[bytes]) -> np.ndarray:
        """The positions in `view` of the rows of `keys`; every key must be there and readable."""
        return np.array([self._places[key] for key in keys], dtype=np.int64)


def _checksum(key: bytes, flag: int, row: np.ndarray) -> int:
    """CRC-32 of a row under its key; unlike that of the row alone, it notices a row in the place of another."""
    return zlib.crc32(row.data, zlib.crc32(bytes([flag]), zlib.crc32(key)))


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "wb") as stream:
        stream.truncate(at)
        stream.seek(at)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
