"""The bytes of images, in files, a tar, a zip or arrays. Nothing is decoded here."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, final

import numpy as np

from striate.core.errors import ImageError, ImageReadError, OutOfMemoryError

MAX_IMAGE_BYTES = 512 << 20
"""Encoded images with more bytes are refused before they are read."""

_ZIP_LOCAL_HEADER = 30
_DEFLATED = 8


class Store(Protocol):
    """Numbered images that can be read from any thread."""

    def read(self, i: int) -> bytes | np.ndarray:
        """Encoded bytes of image `i`, or its uint8 pixels ``[h, w]`` or ``[h, w, 3]``.

        Raises:
            ImageError: It cannot be read.
        """
        ...

    def stamp(self, i: int) -> str:
        """A key that changes when image `i` changes; it ends with a colon and the time of the last change in ns."""
        ...


def file_stamp(path: Path) -> str:
    """Size, inode, mtime and ctime of a file, the times in ns; ``gone:0`` if the file does not exist."""
    try:
        found = path.stat()
    except OSError:
        return "gone:0"
    return f"{found.st_size}:{found.st_ino}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def read_file(path: Path, name: str) -> bytes:
    """The bytes of a regular file, or of what a link leads to.

    Args:
        path: The file.
        name: What it is called in messages.

    Raises:
        ImageReadError: It cannot be read at this moment.
        ImageError: It is a folder, named pipe, socket or device, or larger than `MAX_IMAGE_BYTES`.
        OutOfMemoryError: There is not enough memory for it.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ImageError(f"{name} is not a regular file")
            _refuse_size(name, found.st_size)
            return stream.read()
    except OSError as error:
        raise ImageReadError(f"{name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null character in the path
        raise ImageError(f"{name!r} cannot be read: {error}") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"{name} does not fit into memory", hint="close other programs") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, as a named pipe would for ever; a regular file is opened as usual."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_size(name: str, size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise ImageError(f"{name} is {size:,} bytes, above the limit of {MAX_IMAGE_BYTES:,} bytes")


@final
class FileStore:
    """Images as files below a folder.

    Args:
        root: The folder.
        names: Paths of the files, relative to the folder or absolute.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root = root
        self._names = names

    def read(self, i: int) -> bytes:
        """The file's bytes."""
        name = self._names[i]
        return read_file(self._root / name, name)

    def stamp(self, i: int) -> str:
        """The stamp of the file."""
        return file_stamp(self._root / self._names[i])


@final
class TarStore:
    """Images as members of an uncompressed tar.

    Args:
        path: The tar.
        names: Names of the members, for messages.
        offsets: Offset of each member's first byte.
        sizes: Size of each member in bytes.
    """

    def __init__(self, path: Path, names: Sequence[str], offsets: np.ndarray, sizes: np.ndarray) -> None:
        self._path = path
        self._names = names
        self._offsets = offsets
        self._sizes = sizes
        self._stamp = file_stamp(path)

    def read(self, i: int) -> bytes:
        """The member's bytes."""
        name, size = self._names[i], int(self._sizes[i])
        _refuse_size(name, size)
        return _read_range(self._path, name, int(self._offsets[i]), size)

    def stamp(self, i: int) -> str:
        """Offset and size of the member, and the stamp of the archive."""
        return f"{self._offsets[i]}:{self._sizes[i]}:{self._stamp}"


@final
class ZipStore:
    """Images as members of a zip, stored or deflated.

    Args:
        path: The zip.
        names: Names of the members, for messages.
        table: int64 ``[n, 5]``: header offset, packed size, size, method, checksum.
    """

    def __init__(self, path: Path, names: Sequence[str], table: np.ndarray) -> None:
        self._path = path
        self._names = names
        self._table = table
        self._stamp = file_stamp(path)

    def read(self, i: int) -> bytes:
        """The member's bytes, unpacked and checked."""
        name = self._names[i]
        header, packed, size, method, checksum = (int(value) for value in self._table[i])
        _refuse_size(name, max(size, packed))
        local = _read_range(self._path, name, header, _ZIP_LOCAL_HEADER)
        skip = _ZIP_LOCAL_HEADER + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        data = _read_range(self._path, name, header + skip, packed)
        if method == _DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
            except zlib.error as error:
                raise ImageError(f"{name} is damaged inside the archive: {error}") from error
        if len(data) != size or zlib.crc32(data) != checksum:
            raise ImageError(f"{name} is damaged inside the archive: its checksum or length is wrong")
        return data

    def stamp(self, i: int) -> str:
        """Offset and size of the member, and the stamp of the archive."""
        return f"{self._table[i, 0]}:{self._table[i, 1]}:{self._stamp}"


def _read_range(path: Path, name: str, offset: int, size: int) -> bytes:
    # Opened again each time, which takes about 10 us: there is no handle to share between threads or to close.
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as stream:
            stream.seek(offset)
            data = stream.read(size)
            while len(data) < size and (more := stream.read(size - len(data))):
                data += more
    except OSError as error:
        raise ImageReadError(f"{name} cannot be read from {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"{name} does not fit into memory", hint="close other programs") from error
    if len(data) != size:
        raise ImageReadError(f"{name} is cut short: {path} has changed or is damaged")
    return data


@final
class ArrayStore:
    """Decoded images in arrays.

    Args:
        parts: uint8 arrays ``[n, h, w]`` or ``[n, h, w, 3]``, which are concatenated; memory maps are allowed.
        stamp: A key that changes when the arrays change; it ends with a colon and a time in ns.
    """

    def __init__(self, parts: Sequence[np.ndarray], stamp: str) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self._stamp = stamp

    def read(self, i: int) -> np.ndarray:
        """The image's pixels."""
        part = int(np.searchsorted(self._ends, i, side="right"))
        from_the_end = i - int(self._ends[part])
        return np.ascontiguousarray(self._parts[part][from_the_end])

    def stamp(self, i: int) -> str:
        """The image's number and the stamp of the arrays."""
        return f"{i}:{self._stamp}"


@final
class JointStore:
    """Several stores, concatenated.

    Args:
        stores: Each store and its number of images.
    """

    def __init__(self, stores: Sequence[tuple[Store, int]]) -> None:
        self._stores = tuple(store for store, _ in stores)
        self._ends = np.cumsum([length for _, length in stores])

    def _find(self, i: int) -> tuple[Store, int]:
        part = int(np.searchsorted(self._ends, i, side="right"))
        return self._stores[part], i - (int(self._ends[part - 1]) if part else 0)

    def read(self, i: int) -> bytes | np.ndarray:
        """Image `i` of the store that holds it."""
        store, place = self._find(i)
        return store.read(place)

    def stamp(self, i: int) -> str:
        """The stamp of image `i` in the store that holds it."""
        store, place = self._find(i)
        return store.stamp(place)
