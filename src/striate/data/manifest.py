"""Manifests: a ``.csv`` or ``.parquet`` table with columns ``path,label[,split][,group]``."""

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

_COLUMNS = ("path", "label", "split", "group")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The table's columns, a row an image, ordered by path.

    Args:
        names: Paths as written, with slashes; relative to the manifest's folder unless absolute.
        labels: Classes.
        splits: ``train``, ``validation`` or ``test``; None without that column.
        groups: What belongs together; "" for an image on its own; None without that column.
    """

    names: list[str]
    labels: list[str]
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
        raise DataError(f"{path} has no rows", hint="write one row per image: path,label")
    columns = rows.pop(0)
    if not rows:
        raise DataError(f"{path} has no rows below its header", hint="write one row per image: path,label")
    table = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    for name in ("path", "label"):
        _report(path, f"no {name}", [f"row {i + 1}" for i, cell in enumerate(table[name]) if not cell])
    names = [name.replace("\\", "/") for name in table["path"]]
    order = sorted(range(len(names)), key=names.__getitem__)
    _report(path, "a path twice", [names[a] for a, b in pairwise(order) if names[a] == names[b]])
    _report(path, "paths without a file", [n for n in names if not (path.parent / n).is_file()])
    splits = _splits(path, table["split"]) if "split" in table else None
    groups = table.get("group")
    return Manifest(
        names=[names[i] for i in order],
        labels=[table["label"][i] for i in order],
        splits=None if splits is None else [splits[i] for i in order],
        groups=None if groups is None else [groups[i] for i in order],
    )


def _report(path: Path, what: str, found: Sequence[str]) -> None:
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise DataError(
            f"{path} has {what}, {len(found)} in all: {', '.join(found[:_SHOWN])}{more}",
            hint="paths are relative to the manifest's folder" if "file" in what else "mend these rows",
        )


def _splits(path: Path, cells: list[str]) -> list[str]:
    unknown = [f"{cell!r} in row {i + 1}" for i, cell in enumerate(cells) if cell.lower() not in SPLITS]
    _report(path, "unknown splits (train, val and test are known)", unknown)
    return [SPLITS[cell.lower()] for cell in cells]


def _wanted(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Where the known columns stand."""
    found = [name.strip().lower() for name in header]
    missing = [name for name in ("path", "label") if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks the column {' and '.join(missing)}; it has {', '.join(header)}",
            hint="the first row names the columns, parted by commas: path,label[,split][,group]",
        )
    return {name: found.index(name) for name in _COLUMNS if name in found}


def _csv(path: Path) -> Iterator[list[str]]:
    """The known columns' names, then their cells."""
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
                        f"{path}, line {reader.line_num}: {len(row)} cells where the header has {len(header)}",
                        hint="put cells that hold commas in double quotes",
                    )
                yield [row[i].strip() for i in wanted.values()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


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
        header = file.schema_arrow.names
        wanted = _wanted(path, header)
        columns: list[list[Any]] = [file.read(columns=[header[i]]).column(0).to_pylist() for i in wanted.values()]
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    yield list(wanted)
    for cells in zip(*columns, strict=True):
        yield ["" if cell is None else str(cell).strip() for cell in cells]
