"""The members of tar and zip archives, read in place; nothing is unpacked next to the user's files.

Archives may come from untrusted sources. Members whose path would leave the archive, links, devices and archives that
would unpack to an implausible size are refused.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from striate.core import atomic, paths
from striate.core.errors import DataError
from striate.data.column import TextColumn
from striate.data.layout import Listing
from striate.data.stores import Store, TarStore, ZipStore

MAX_MEMBERS = 5_000_000
"""Archives with more members are refused."""

MAX_RATIO = 100
"""An archive may unpack to this many times its size. Images are compressed already, so real ones stay far below it."""

FREE_BYTES = 1 << 30
"""This many bytes are always allowed, at any ratio."""

_CHUNK = 1 << 20
_TAR_ERRORS = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError)
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def listing(path: Path) -> Listing:
    """List the members of the archive at `path`.

    Raises:
        DataError: It is damaged, hostile, or compressed with an unsupported method.
    """
    try:
        return _zip(path) if path.name.lower().endswith(".zip") else _tar(path)
    except (*_TAR_ERRORS, zipfile.BadZipFile) as error:
        raise DataError(f"the archive {path} cannot be read: {error}", hint="download or create it again") from error


def _checked(path: Path, name: str) -> str:
    """The path of a member without a leading ``./``; a path that would leave the archive is refused."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")) or "\0" in name:
        raise DataError(
            f"the archive {path} has a member that would leave it: {name!r}", hint="do not trust this archive"
        )
    return "/".join(parts)


def _refuse_bomb(path: Path, members: int, unpacked: int) -> None:
    if members > MAX_MEMBERS:
        raise DataError(f"the archive {path} has more than {MAX_MEMBERS:,} members", hint="split it, or unpack it")
    packed = path.stat().st_size
    if unpacked > max(FREE_BYTES, MAX_RATIO * packed):
        raise DataError(
            f"the archive {path} would unpack to {unpacked:,} bytes or more, from {packed:,}",
            hint="it may be a decompression bomb; unpack it yourself if you trust it",
        )


def _refuse_twins(path: Path, files: Sequence[str]) -> None:
    if len(set(files)) < len(files):
        seen: set[str] = set()
        twin = next(name for name in files if name in seen or seen.add(name))
        raise DataError(f"the archive {path} has two members called {twin!r}", hint="create it again")


def _tar(path: Path) -> Listing:
    plain = path if path.name.lower().endswith(".tar") else _unpacked(path)
    files: list[str] = []
    folders: set[str] = set()
    places: list[tuple[int, int]] = []
    with tarfile.open(plain, "r:") as archive:
        for member in _members(archive):
            _refuse_bomb(path, len(files) + len(folders), 0)
            name = _checked(path, member.name)
            if member.isdir():
                folders.add(name)
            elif member.isreg() and not member.issparse():
                files.append(name)
                places.append((member.offset_data, member.size))
            else:
                raise DataError(
                    f"the archive {path} holds a link, device or sparse file: {name!r}",
                    hint="archive regular files only",
                )
    _refuse_twins(path, files)
    table = np.array(places, dtype=np.int64).reshape(-1, 2)

    def choose(rows: Sequence[int]) -> Store:
        return TarStore(plain, TextColumn(files[i] for i in rows), table[rows, 0], table[rows, 1])

    return Listing(files=files, folders=frozenset(folders), choose=choose)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member
        # tarfile would keep about a kilobyte per member
        archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]


def _unpacked(path: Path) -> Path:
    """The decompressed tar, written once to the cache and kept until the archive changes."""
    found = path.stat()
    owner = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    state = hashlib.sha256(f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}".encode()).hexdigest()[:16]
    folder = paths.home() / "archives"
    target = folder / f"{owner}-{state}.tar"
    if not target.exists():
        atomic.make_folder(folder)
        opener = lzma.open if path.name.lower().endswith("xz") else gzip.open
        with opener(path) as source, atomic.replacing(target) as stream:
            _copy(path, source, stream)
        for stale in set(folder.glob(f"{owner}-*.tar")) - {target}:
            stale.unlink(missing_ok=True)
    return target


def _copy(path: Path, source: IO[bytes] | gzip.GzipFile | lzma.LZMAFile, target: IO[bytes]) -> None:
    done = 0
    while True:
        try:
            chunk = source.read(_CHUNK)
        except _TAR_ERRORS as error:  # caught here so that it is not reported as a failure to write
            raise DataError(f"the archive {path} is damaged: {error}", hint="download or create it again") from error
        if not chunk:
            return
        done += len(chunk)
        _refuse_bomb(path, 0, done)
        target.write(chunk)


def _zip(path: Path) -> Listing:
    files: list[str] = []
    folders: set[str] = set()
    rows: list[tuple[int, int, int, int, int]] = []
    unpacked = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            unpacked += member.file_size
            _refuse_bomb(path, len(files) + len(folders), unpacked)
            name = _checked(path, member.filename.replace("\\", "/"))
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                folders.add(name)
            elif kind not in (0, stat.S_IFREG):
                raise DataError(
                    f"the archive {path} holds a link or device: {name!r}", hint="archive regular files only"
                )
            elif member.flag_bits & 1 or member.compress_type not in _ZIP_METHODS:
                raise DataError(
                    f"the archive {path} holds {name!r}, which is encrypted or compressed with an unsupported method",
                    hint="create it again without a password, stored or deflated",
                )
            else:
                files.append(name)
                size = (member.compress_size, member.file_size)
                rows.append((member.header_offset, *size, member.compress_type, member.CRC))
    _refuse_twins(path, files)
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)

    def choose(chosen: Sequence[int]) -> Store:
        return ZipStore(path, TextColumn(files[i] for i in chosen), table[chosen])

    return Listing(files=files, folders=frozenset(folders), choose=choose)
