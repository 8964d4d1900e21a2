"""The members of tar and zip archives, read in place; nothing is unpacked next to the user's files.

Archives may come from untrusted sources. Members whose path would leave the archive, links, devices and archives that
would unpack to an implausible size are refused.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import time
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from striate.core import atomic, paths
from striate.core.errors import DataError
from striate.core.reading import reading
from striate.data import tar, zips
from striate.data.column import TextColumn
from striate.data.digest import SETTLED_NS
from striate.data.layout import Listing
from striate.data.stores import Store, TarStore, ZipStore

MAX_MEMBERS = 5_000_000
"""Archives with more members are refused."""

MAX_RATIO = 100
"""An archive may unpack to this many times its size. Images are compressed already, so real ones stay far below it."""

FREE_BYTES = 1 << 30
"""This many bytes are always allowed, at any ratio."""

_CHUNK = 1 << 20
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\0"
_XZ_MEMORY = 256 << 20
_STORED, _DEFLATED = 0, 8
_ZIP_METHODS = (_STORED, _DEFLATED)
_MAX_SHOWN = 200
_AGAIN = "download or create it again"


def listing(path: Path) -> Listing:
    """List the members of the archive at `path`.

    Raises:
        DataError: It is damaged, hostile, or compressed with an unsupported method.
    """
    if path.name.lower().endswith(".zip"):
        with reading(path, DataError, "a zip archive", hint=_AGAIN):
            return _zip(path)
    plain = _unpacked(path)
    with reading(path, DataError, "a tar archive", hint=_AGAIN):
        return _tar(path, plain)


def _checked(path: Path, name: str) -> str:
    """The path of a member without a leading ``./``; a path that would leave the archive is refused."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")) or "\0" in name:
        raise DataError(
            f"the archive {path} has a member that would leave it: {name[:_MAX_SHOWN]!r}",
            hint="do not trust this archive",
        )
    return "/".join(parts)


def _refuse_bomb(path: Path, packed: int, members: int, unpacked: int) -> None:
    if members > MAX_MEMBERS:
        raise DataError(f"the archive {path} has more than {MAX_MEMBERS:,} members", hint="split it, or unpack it")
    if unpacked > max(FREE_BYTES, MAX_RATIO * packed):
        raise DataError(
            f"the archive {path} would unpack to {unpacked:,} bytes or more, from {packed:,}",
            hint="it may be a decompression bomb; unpack it yourself if you trust it",
        )


def _refuse_twins(path: Path, files: Sequence[str]) -> None:
    if len(set(files)) < len(files):
        seen: set[str] = set()
        twin = next(name for name in files if name in seen or seen.add(name))
        raise DataError(f"the archive {path} has two members called {twin[:_MAX_SHOWN]!r}", hint="create it again")


def _tar(path: Path, plain: Path) -> Listing:
    files: list[str] = []
    folders: set[str] = set()
    places, packed = array("q"), path.stat().st_size
    with plain.open("rb", buffering=0) as stream:
        for member in tar.members(stream):
            _refuse_bomb(path, packed, len(files) + len(folders), 0)
            name = _checked(path, member.name)
            if member.kind == "folder":
                folders.add(name)
            elif member.kind == "file":
                files.append(name)
                places.extend((member.offset, member.size))
            else:
                raise DataError(
                    f"the archive {path} holds a link, device or sparse file: {name[:_MAX_SHOWN]!r}",
                    hint="archive regular files only",
                )
    _refuse_twins(path, files)
    table = np.array(places, dtype=np.int64).reshape(-1, 2)

    def choose(rows: Sequence[int]) -> Store:
        return TarStore(plain, TextColumn(files[i] for i in rows), table[rows, 0], table[rows, 1])

    return Listing(files=files, folders=frozenset(folders), choose=choose)


def _unpacked(path: Path) -> Path:
    """The tar itself, or its decompressed content, written once to the cache and kept until the archive changes."""
    with reading(path, DataError, "an archive", hint=_AGAIN), path.open("rb") as source:
        begin = source.read(len(_XZ))
    if not begin.startswith((_GZIP, _XZ)):
        return path
    found = path.stat()
    owner = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    state = hashlib.sha256(
        f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}".encode()
    ).hexdigest()[:16]
    folder = paths.home() / "archives"
    target = folder / f"{owner}-{state}.tar"
    # An archive that changed twice within the resolution of the clock has one stamp for both; see `digest.digests`.
    began, changed = time.time_ns(), max(found.st_mtime_ns, found.st_ctime_ns)
    if not target.exists() or target.stat().st_mtime_ns - changed < SETTLED_NS:
        atomic.make_folder(folder)
        with atomic.replacing(target) as stream:
            done = 0
            for chunk in _decompressed(path, gzipped=begin.startswith(_GZIP)):
                done += len(chunk)
                _refuse_bomb(path, found.st_size, 0, done)
                stream.write(chunk)
        os.utime(target, ns=(began, began))
        for stale in set(folder.glob(f"{owner}-*.tar")) - {target}:
            stale.unlink(missing_ok=True)
    return target


def _decompressed(path: Path, *, gzipped: bool) -> Iterator[bytes]:
    """The content of a compressed file, which may be several compressed streams in a row, in pieces."""
    with reading(path, DataError, "a compressed tar archive", hint=_AGAIN), path.open("rb") as source:
        data = b""
        while data or (data := source.read(_CHUNK)):
            data = yield from (_gunzipped(source, data) if gzipped else _unxzed(source, data))
            data = data.lstrip(b"\0")  # padding


def _gunzipped(source: IO[bytes], data: bytes) -> Iterator[bytes]:
    """One gzip stream; returns the bytes after it that have been read."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    while not stream.eof:
        yield stream.decompress(data, _CHUNK)
        data = stream.unconsumed_tail or (b"" if stream.eof else source.read(_CHUNK))
        if not data and not stream.eof:
            raise EOFError("it is cut short")
    return stream.unused_data


def _unxzed(source: IO[bytes], data: bytes) -> Iterator[bytes]:
    """One xz stream; returns the bytes after it that have been read."""
    stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    while not stream.eof:
        yield stream.decompress(data, _CHUNK)
        data = source.read(_CHUNK) if stream.needs_input and not stream.eof else b""
        if stream.needs_input and not data and not stream.eof:
            raise EOFError("it is cut short")
    return stream.unused_data


def _zip(path: Path) -> Listing:
    files: list[str] = []
    folders: set[str] = set()
    rows, unpacked, packed = array("q"), 0, path.stat().st_size
    with path.open("rb") as stream:
        for member in zips.members(stream):
            unpacked += member.size
            _refuse_bomb(path, packed, len(files) + len(folders), unpacked)
            name = _checked(path, member.name)
            if member.kind == "folder":
                folders.add(name)
            elif member.kind == "other":
                raise DataError(
                    f"the archive {path} holds a link or device: {name[:_MAX_SHOWN]!r}",
                    hint="archive regular files only",
                )
            elif member.encrypted or member.method not in _ZIP_METHODS:
                raise DataError(
                    f"the archive {path} holds {name[:_MAX_SHOWN]!r}, which is encrypted or compressed with an "
                    "unsupported method",
                    hint="create it again without a password, stored or deflated",
                )
            else:
                files.append(name)
                rows.extend((member.header, member.packed, member.size, member.method, member.checksum))
    _refuse_twins(path, files)
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)

    def choose(chosen: Sequence[int]) -> Store:
        return ZipStore(path, TextColumn(files[i] for i in chosen), table[chosen])

    return Listing(files=files, folders=frozenset(folders), choose=choose)
