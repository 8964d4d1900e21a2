"""From what the user names to an index of labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.core.errors import DataError
from striate.core.registry import nearest
from striate.data import archive, folder, manifest, standard
from striate.data.column import TextColumn
from striate.data.image_index import ImageIndex, from_columns, from_listing
from striate.data.layout import TRAIN, is_archive
from striate.data.stores import FileStore

__all__ = ["ImageIndex", "scan", "survey"]

_FORMS = "give a folder with one folder per class, a .csv or .parquet manifest, a .tar or .zip, or a standard set"
_SHOWN = 5


def scan(data: str | Path, *, root: str | Path | None = None, classes: Sequence[str] | None = None) -> ImageIndex:
    """Find labelled images, and refuse what no classifier can be trained or measured on.

    Args:
        data: A folder, a manifest, an archive, or (as a string) the name of a standard set; ``./digits`` is a folder.
        root: Where the files of a standard set are; None for ``digits``, which needs none.
        classes: A fixed class map, as a trained model has; None takes the classes that are found.

    Raises:
        DataError: There is nothing usable: no image, one class only, classes that differ only in case, a class
            without an image to train on, a label outside of `classes`, a bad manifest or archive, an unknown set.
    """
    index = survey(data, root=root)
    if classes is not None:
        return index.mapped(classes, {name: place for place, name in enumerate(classes)})
    if len(index.classes) < 2:
        raise DataError(
            f"{index.source} has one class only: {', '.join(map(repr, index.classes))}",
            hint="a classifier needs at least two class folders",
        )
    training = np.ones(len(index), dtype=bool) if index.splits is None else np.array(index.splits) == TRAIN
    counts = np.bincount(index.labels[training], minlength=len(index.classes))
    empty = [repr(name) for name, n in zip(index.classes, counts, strict=True) if not n]
    if empty:
        where = "no image" if index.splits is None else "no image to train on"
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        raise DataError(
            f"{index.source} has classes with {where}: {', '.join(empty[:_SHOWN])}{more}",
            hint="add images, or remove the class folder",
        )
    return index


def survey(data: str | Path, *, root: str | Path | None = None) -> ImageIndex:
    """Find labelled images whatever their classes; `scan` without its demands on them.

    Args:
        data: As in `scan`.
        root: As in `scan`.

    Raises:
        DataError: There is no such data, or it cannot be read.
    """
    if isinstance(data, str) and data in standard.NAMES:
        return standard.load(data, None if root is None else Path(root))
    path, source = Path(data).expanduser(), str(data)
    if path.is_dir():
        return from_listing(source, "folder", folder.listing(path))
    if not path.exists():
        close = nearest(source, list(standard.NAMES))
        raise DataError(
            f"there is no {source}", hint=f"did you mean the standard set {' or '.join(close)}?" if close else _FORMS
        )
    if is_archive(path.name):
        return from_listing(source, "archive", archive.listing(path))
    if path.suffix.lower() in manifest.ENDINGS:
        table = manifest.read(path)
        names = TextColumn(table.names)
        return from_columns(
            source=source,
            kind="manifest",
            names=names,
            labels=table.labels,
            splits=table.splits,
            groups=table.groups,
            store=FileStore(path.parent, names),
        )
    raise DataError(f"{source} is no form of data that is known", hint=_FORMS)
