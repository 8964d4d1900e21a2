"""Atomic file writes: a process that is killed at any moment leaves either the old file or the complete new one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from striate.core.errors import StorageError


def explain(error: OSError, path: Path) -> StorageError:
    """Convert an OSError to a StorageError that says why `path` cannot be written and what to do.

    Args:
        error: The error of the operating system.
        path: The file or folder that could not be written.
    """
    reasons = {
        errno.ENOSPC: ("no space is left on the device", "free some space, or choose another folder"),
        errno.EDQUOT: ("the disk quota is used up", "free some space, or choose another folder"),
        errno.EACCES: ("permission denied", "choose a folder that you can write to"),
        errno.EPERM: ("permission denied", "choose a folder that you can write to"),
        errno.EROFS: ("the file system is read-only", "choose a folder that you can write to"),
        errno.ENOTDIR: ("part of the path is a file, not a folder", "choose another folder"),
        errno.EEXIST: ("a file with this name exists", "choose another folder"),
    }
    reason, hint = reasons.get(error.errno or 0, (error.strerror or str(error), None))
    return StorageError(f"cannot write {path}: {reason}", hint=hint)


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Args:
        path: The folder; it may exist already.

    Returns:
        `path`.

    Raises:
        StorageError: The folder cannot be created, or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, path) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write {path}: permission denied", hint="choose a folder that you can write to")
    return path


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the file itself is already synced
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def replacing(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file next to `path`, and replace `path` with it when the block ends without an error.

    Args:
        path: The file to write. Its folder must exist.
        mode: ``"wb"``, or ``"w"`` for UTF-8 text.

    Raises:
        StorageError: The disk is full, or the folder is not writable. The old file is unchanged.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise explain(error, path) from error
    temporary = Path(name)
    try:
        encoding = None if "b" in mode else "utf-8"
        with os.fdopen(handle, mode, encoding=encoding, newline=None if "b" in mode else "") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        StorageError: The file cannot be written. The old file is unchanged.
    """
    with replacing(path) as stream:
        stream.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8.

    Raises:
        StorageError: The file cannot be written. The old file is unchanged.
    """
    with replacing(path, "w") as stream:
        stream.write(text)
