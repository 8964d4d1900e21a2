"""The files in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from striate.core.errors import DataError
from striate.data.column import TextColumn
from striate.data.layout import Listing, is_system
from striate.data.stores import FileStore, Store


def listing(root: Path) -> Listing:
    """The files and folders below `root`; links are followed unless they form a cycle.

    Of a hidden folder, only the files directly in it are listed: enough to name a class that is hidden by mistake.

    Raises:
        DataError: A folder cannot be read, or a name is not UTF-8.
    """
    files: list[str] = []
    folders: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while waiting:
        below, above = waiting.pop()
        hidden = below.rpartition("/")[2].startswith(".")
        for entry in _entries(root, below):
            is_folder = _is_folder(entry)
            if is_system(entry.name) or (entry.name.startswith(".") and (hidden or not is_folder)):
                continue
            name = _utf8(root, f"{below}/{entry.name}" if below else entry.name)
            if not is_folder:
                files.append(name)
                continue
            real = os.path.realpath(entry.path)
            if not hidden and real not in above:
                folders.add(name)
                waiting.append((name, (*above, real)))

    def choose(rows: Sequence[int]) -> Store:
        return FileStore(root, TextColumn(files[i] for i in rows))

    return Listing(files=files, folders=frozenset(folders), choose=choose)


def _entries(root: Path, below: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing for a hidden one that cannot be read."""
    try:
        with os.scandir(root / below) as found:
            return list(found)
    except OSError as error:
        if below.rpartition("/")[2].startswith("."):
            return []
        raise DataError(
            f"the folder {root / below} cannot be read: {error.strerror or error}",
            hint="change its permissions, or choose another folder",
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads nowhere or to itself is an unreadable file."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _utf8(root: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise DataError(f"{root} has a file whose name is not UTF-8: {shown}", hint="rename it") from error
    return name
