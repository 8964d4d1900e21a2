"""Manifests: a ``.csv`` or ``.parquet`` table with the columns ``path``, ``label``, ``split``, ``group`` and others.

Only ``path`` is required here; which other columns must be there depends on the task.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from striate.core.errors import DataError, MissingExtraError
from striate.data.layout import SPLITS

ENDINGS = (".csv", ".parquet")

_ROLES = ("path", "split", "group")
_FORM = "write a header and one row per image: path,label"
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The table's columns, one row per image, ordered by path.

    Args:
        names: Paths as written, with slashes; relative to the manifest's folder unless absolute.
        annotations: Every column but path, split and group, by its name in lower case; "" for an empty cell.
        splits: ``train``, ``validation`` or ``test``; None without that column.
        groups: What belongs together; "" for an image on its own; None without that column.
    """

    names: list[str]
    annotations: dict[str, list[str]]
    splits: list[str] | None
    groups: list[str] | None


def read(path: Path) -> Manifest:
    """Read the manifest at `path`.

    Raises:
        DataError: A column, cell or file is missing, a split has an unknown name, or a path stands twice.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    rows = list(_csv(path) if path.suffix.lower() == ".csv" else _parquet(path))
    if not rows:
        raise DataError(f"{path} is empty", hint=_FORM)
    columns = rows.pop(0)
    if not rows:
        raise DataError(f"{path} has no rows below its header", hint=_FORM)
    table = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    _report(path, "empty paths", [f"row {i + 1}" for i, cell in enumerate(table["path"]) if not cell])
    names = [name.replace("\\", "/") for name in table["path"]]
    order = sorted(range(len(names)), key=names.__getitem__)
    _report(path, "repeated paths", [names[a] for a, b in pairwise(order) if names[a] == names[b]])
    _report(path, "paths without a file", [n for n in names if not (path.parent / n).is_file()])
    splits = _splits(path, table["split"]) if "split" in table else None
    groups = table.get("group")
    return Manifest(
        names=[names[i] for i in order],
        annotations={name: [cells[i] for i in order] for name, cells in table.items() if name not in _ROLES},
        splits=None if splits is None else [splits[i] for i in order],
        groups=None if groups is None else [groups[i] for i in order],
    )


def _report(path: Path, what: str, found: Sequence[str]) -> None:
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise DataError(
            f"{path} has {len(found)} {what}: {', '.join(found[:_SHOWN])}{more}",
            hint="paths are relative to the manifest's folder" if "file" in what else "correct these rows",
        )


def _splits(path: Path, cells: list[str]) -> list[str]:
    unknown = [f"{cell!r} in row {i + 1}" for i, cell in enumerate(cells) if cell.lower() not in SPLITS]
    _report(path, "unknown splits (train, val and test are known)", unknown)
    return [SPLITS[cell.lower()] for cell in cells]


def _wanted(path: Path, header: Sequence[str]) -> dict[str, int]:
    """The position of each column by its name in lower case; of repeated names the first counts."""
    found = [name.strip().lower() for name in header]
    if "path" not in found:
        raise DataError(
            f"{path} has no column 'path'; its columns: {', '.join(header)}",
            hint="the first row names the columns, separated by commas: path,label[,split][,group]",
        )
    return {name: found.index(name) for name in found if name}


def _csv(path: Path) -> Iterator[list[str]]:
    """The names of the columns, then the cells of each row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
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
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _is_text(kind: Any) -> bool:
    """Whether the cells of an Arrow type can be written as short text; bytes and nested types cannot."""
    from pyarrow import types

    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_dictionary(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
    )


def _parquet(path: Path) -> Iterator[list[str]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path} needs pyarrow", hint="pip install 'striate[parquet]', or write a .csv"
        ) from error
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        header = [each.name if _is_text(each.type) else "" for each in schema]
        wanted = _wanted(path, header)
        columns: list[list[Any]] = [file.read(columns=[header[i]]).column(0).to_pylist() for i in wanted.values()]
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    yield list(wanted)
    for cells in zip(*columns, strict=True):
        yield ["" if cell is None else str(cell).strip() for cell in cells]
