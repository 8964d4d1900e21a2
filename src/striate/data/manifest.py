"""Manifests: a ``.csv`` or ``.parquet`` table with the columns ``path``, ``label``, ``split``, ``group`` and others.

Only ``path`` is required here; which other columns must be there depends on the task.
"""

from __future__ import annotations

import csv
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unicodedata import normalize

from striate.core.errors import DataError, MissingExtraError
from striate.core.reading import reading
from striate.core.words import command_line
from striate.data.class_folders import AS_CLASSES
from striate.data.split_names import TRAIN, UNLABELLED, role

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

ENDINGS = (".csv", ".parquet")

MAX_LINE = 1 << 20
"""A line of a CSV file and a cell of a Parquet file may have this many characters."""

MAX_RATIO = 100
"""A Parquet file may unpack to this many times its size. Paths differ, so real ones stay far below it."""

FREE_BYTES = 64 << 20
"""This many bytes are always allowed, at any ratio; so are this many rows divided by 64."""

_ROLES = ("path", "split", "group")
_FORM = "write a header and one row per image: path,label"
_SHOWN = 3
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The table's columns, one row per image, ordered by path.

    Args:
        names: Paths as written, with slashes; relative to the manifest's folder unless absolute.
        files: The same paths as the file system spells them: accents may be encoded differently there.
        annotations: Every column but path, split and group, by its name in lower case; "" for an empty cell.
        splits: ``train``, ``validation`` or ``test``; None without that column.
        groups: What belongs together; "" for an image on its own; None without that column.
        skipped: Paths that are left out, each with the reason.
    """

    names: list[str]
    files: list[str]
    annotations: dict[str, list[str]]
    splits: list[str] | None
    groups: list[str] | None
    skipped: dict[str, str]


def read(path: Path, *, as_classes: bool = False) -> Manifest:
    """Read the manifest at `path`.

    Args:
        path: A ``.csv`` or ``.parquet`` file.
        as_classes: Whether every label is a class, even if all are called like splits.

    Raises:
        DataError: A column, cell or file is missing, a split has an unknown name, a path stands twice, or all labels
            are called like splits.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    rows = list(_csv(path) if path.suffix.lower() == ".csv" else _parquet(path))
    if not rows:
        raise DataError(f"{path} is empty", hint=_FORM)
    columns = rows.pop(0)
    if not rows:
        raise DataError(f"{path} has no rows below its header", hint=_FORM)
    table = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    for name in table.keys() - {"path"}:  # so that equal labels and groups are equal strings
        table[name] = [normalize("NFC", cell) for cell in table[name]]
    _report(path, "empty paths", [f"row {i + 1}" for i, cell in enumerate(table["path"]) if not cell])
    if not as_classes:
        _refuse_splits(path, set(table.get("label", ())) - {""})
    names = [name.replace("\\", "/") for name in table["path"]]
    places = [normalize("NFC", posixpath.normpath(name)) for name in names]
    order = sorted(range(len(names)), key=places.__getitem__)
    _report(path, "repeated paths", [names[b] for a, b in pairwise(order) if places[a] == places[b]])
    order.sort(key=names.__getitem__)
    finder = _Finder(path.parent)
    files = [finder.find(name) for name in names]
    _report(path, "paths without a file", [n for n, file in zip(names, files, strict=True) if file is None])
    splits = _splits(path, table["split"]) if "split" in table else None
    groups = table.get("group")
    skipped = _unlabelled(names, splits or [], table.get("label", []))
    order = [i for i in order if names[i] not in skipped]
    if not order:
        raise DataError(f"{path} has no labelled image", hint=_FORM)
    return Manifest(
        names=[names[i] for i in order],
        files=[files[i] or "" for i in order],
        annotations={name: [cells[i] for i in order] for name, cells in table.items() if name not in _ROLES},
        splits=None if splits is None else [splits[i] for i in order],
        groups=None if groups is None else [groups[i] for i in order],
        skipped=skipped,
    )


def _refuse_splits(path: Path, labels: set[str]) -> None:
    """Refuse labels that are all called like splits, as those made from the names of folders may be."""
    if len(labels) > 1 and all(map(role, labels)):
        raise DataError(
            f"all labels in {path} are called like splits: {', '.join(sorted(labels)[:_SHOWN])}",
            hint="name that column split, and add a column label with the classes; if they are classes, say so: "
            + command_line("striate", "check", f"{AS_CLASSES}{path}"),
        )


def _unlabelled(names: Sequence[str], splits: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """The images of the splits in which no image has a label, but for the training split: those of a competition."""
    labelled = {split for split, label in zip(splits, labels, strict=False) if label}
    without = set(splits) - labelled - {TRAIN} if labelled else {UNLABELLED}
    return {
        name: f"it is unlabelled: no image of the {split} split has a label"
        for name, split in zip(names, splits, strict=False)
        if split in without or split == UNLABELLED
    }


class _Finder:
    """Files by their paths, in whatever form of Unicode the file system has their names.

    Args:
        root: The folder that relative paths begin in.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """The path as the file system spells it; None if there is no such regular file."""
        if _is_file(self._root / name):
            return name
        spelled = "/" if name.startswith("/") else ""
        for part in filter(None, name.split("/")):
            if part not in (".", ".."):
                found = self._spelling(self._root / spelled, part)
                if found is None:
                    return None
                part = found
            spelled = posixpath.join(spelled, part)
        return spelled if _is_file(self._root / spelled) else None

    def _spelling(self, folder: Path, part: str) -> str | None:
        """The name in a folder that is the same as `part` but for the form of its accents."""
        if folder not in self._known:
            try:
                self._known[folder] = {normalize("NFC", each.name): each.name for each in folder.iterdir()}
            except OSError:
                self._known[folder] = {}
        return self._known[folder].get(normalize("NFC", part))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def _report(path: Path, what: str, found: Sequence[str]) -> None:
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise DataError(
            f"{path} has {len(found)} {what}: {', '.join(each[:_MAX_SHOWN] for each in found[:_SHOWN])}{more}",
            hint="paths are relative to the manifest's folder" if "file" in what else "correct the table",
        )


def _splits(path: Path, cells: list[str]) -> list[str]:
    meant = {cell: role(cell) for cell in set(cells)}
    unknown = [f"{cell!r} in row {i + 1}" for i, cell in enumerate(cells) if meant[cell] is None]
    _report(path, "unknown splits (train, val and test are known)", unknown)
    return [meant[cell] or "" for cell in cells]


def _words(row: str, separator: str) -> list[str]:
    return [word.strip(' "').lower() for word in row.split(separator)]


def _wanted(path: Path, header: Sequence[str]) -> dict[str, int]:
    """The position of each column by its name in lower case; columns without a name are left out."""
    found = [name.strip().lower() for name in header]
    _report(path, "repeated columns", [name for name, count in Counter(found).items() if name and count > 1])
    separator = next((mark for mark in ";\t|" if len(header) == 1 and "path" in _words(header[0], mark)), None)
    if separator:
        raise DataError(
            f"{path} separates its columns by {separator!r}, not by commas",
            hint="save it as CSV with commas; the first row is path,label[,split][,group]",
        )
    if "path" not in found:
        raise DataError(
            f"{path} has no column 'path'; its columns: {', '.join(name[:_MAX_SHOWN] for name in header[:10])}",
            hint="the first row names the columns, separated by commas: path,label[,split][,group]",
        )
    return {name: found.index(name) for name in found if name}


def _is_known(name: str) -> bool:
    return name.strip().lower() in (*_ROLES, "label")


def _csv(path: Path) -> Iterator[list[str]]:
    """The names of the columns, then the cells of each row."""
    with (
        reading(path, DataError, "CSV in UTF-8", hint="save it as CSV in UTF-8"),
        path.open(newline="", encoding="utf-8-sig") as stream,
    ):
        reader = csv.reader(_lines(path, stream))
        header = next(reader, None)
        if header is None:
            return
        wanted = _wanted(path, header)
        yield list(wanted)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: the row has {len(row)} cells, the header {len(header)}",
                    hint="put cells that contain commas in double quotes",
                )
            yield [row[i].strip() for i in wanted.values()]


def _lines(path: Path, stream: IO[str]) -> Iterator[str]:
    while line := stream.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError(f"{path} has a line of {MAX_LINE:,} characters or more", hint=_FORM)
        yield line


def _is_text(kind: Any) -> bool:
    """Whether the cells of an Arrow type can be written as short text; bytes and nested types cannot."""
    from pyarrow import types

    return (
        _is_string(kind)
        or types.is_dictionary(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
    )


def _is_string(kind: Any) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"


def _parquet(path: Path) -> Iterator[list[str]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path} needs pyarrow", hint="pip install 'striate[parquet]', or write a .csv"
        ) from error
    with reading(path, DataError, "Parquet"):
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        header = [each.name if _is_text(each.type) else "" for each in schema]
        unfit = [f"{each.name} ({each.type})" for each in schema if _is_known(each.name) and not _is_text(each.type)]
        _report(path, "columns that are not text", unfit)
        wanted = _wanted(path, header)
        _refuse_bomb(path, file.metadata)
        names = [header[i] for i in wanted.values()]
        # With dictionaries, a text that repeats is in memory once, as it is in the file.
        file = parquet.ParquetFile(path, read_dictionary=names)
        yield list(wanted)
        for batch in file.iter_batches(columns=names):
            columns = [_texts(path, batch.column(name)) for name in names]
            yield from ([cell.strip() for cell in cells] for cells in zip(*columns, strict=True))


def _refuse_bomb(path: Path, metadata: FileMetaData) -> None:
    """Refuse a file that says that it would unpack to an implausible size."""
    packed = path.stat().st_size
    # The metadata of single columns is not asked for: where it is damaged, pyarrow ends the process.
    unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if unpacked > max(FREE_BYTES, MAX_RATIO * packed) or metadata.num_rows > max(FREE_BYTES >> 6, 2 * packed):
        raise DataError(
            f"{path} would unpack to {metadata.num_rows:,} rows of {unpacked:,} bytes, from {packed:,}",
            hint="it may be a decompression bomb; write a .csv if you trust it",
        )


def _texts(path: Path, column: Any) -> list[str]:
    """The cells of an Arrow column as text; "" for an empty one."""
    from pyarrow import types

    if types.is_dictionary(column.type):
        known = ["" if value is None else str(value) for value in column.dictionary.to_pylist()]
        if (longest := max(map(len, known), default=0)) > MAX_LINE:
            raise DataError(f"{path} has a cell of {longest:,} characters", hint=_FORM)
        return ["" if code is None else known[code] for code in column.indices.to_pylist()]
    return ["" if cell is None else str(cell) for cell in column.to_pylist()]
