"""The files in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from striate.core.errors import DataError
from striate.data.column import TextColumn
from striate.data.layout import Listing, is_clutter
from striate.data.stores import FileStore, Store


def listing(root: Path) -> Listing:
    """The files and folders below `root`; links are followed unless they form a cycle.

    Raises:
        DataError: A folder cannot be read, or a name is not UTF-8.
    """
    files: list[str] = []
    folders: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while waiting:
        below, above = waiting.pop()
        try:
            with os.scandir(root / below) as entries:
                for entry in entries:
                    if is_clutter(entry.name):
                        continue
                    name = _utf8(root, f"{below}/{entry.name}" if below else entry.name)
                    if not entry.is_dir():
                        files.append(name)
                        continue
                    real = os.path.realpath(entry.path)
                    if real not in above:
                        folders.add(name)
                        waiting.append((name, (*above, real)))
        except OSError as error:
            raise DataError(
                f"the folder {root / below} cannot be read: {error.strerror or error}",
                hint="change its permissions, or choose another folder",
            ) from error

    def choose(rows: Sequence[int]) -> Store:
        return FileStore(root, TextColumn(files[i] for i in rows))

    return Listing(files=files, folders=frozenset(folders), choose=choose)


def _utf8(root: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise DataError(f"{root} has a file whose name is not UTF-8: {shown}", hint="rename it") from error
    return name
