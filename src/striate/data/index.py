"""From the data argument of a command to an index of annotated images."""

from __future__ import annotations

from pathlib import Path

from striate.core.errors import DataError
from striate.core.registry import nearest
from striate.core.words import command_line
from striate.data import archive, folder, manifest, standard
from striate.data.column import TextColumn
from striate.data.image_index import ImageIndex, from_columns, from_listing
from striate.data.layout import is_archive, is_image
from striate.data.stores import FileStore

__all__ = ["ImageIndex", "scan"]

_FORMS = "give a folder with one folder per class, a .csv or .parquet manifest, a .tar or .zip, or a standard set"


def scan(data: str | Path, *, root: str | Path | None = None) -> ImageIndex:
    """Find the images of a dataset and their annotations. The task checks whether the annotations suffice.

    Args:
        data: A folder, a manifest, an archive, or (as a string) the name of a standard set; ``./digits`` is a folder.
        root: The folder with the files of a standard set; None for ``digits``, which needs none.

    Raises:
        DataError: The data does not exist or cannot be read.
    """
    if isinstance(data, str) and data in standard.NAMES:
        return standard.load(data, None if root is None else Path(root))
    path, source = Path(data).expanduser(), str(data)
    if path.is_dir():
        return from_listing(source, "folder", folder.listing(path))
    if not path.exists():
        close = nearest(source, list(standard.NAMES))
        raise DataError(
            f"there is no file or folder {source!r}",
            hint=f"did you mean the standard set {' or '.join(close)}?" if close else _FORMS,
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
            annotations={name: TextColumn(cells) for name, cells in table.annotations.items()},
            splits=table.splits,
            groups=table.groups,
            store=FileStore(path.parent, names),
        )
    if is_image(path.name):
        to_classify = command_line("striate", "predict", "MODEL", path)
        raise DataError(f"{source} is a single image, not a dataset", hint=f"to classify it, use {to_classify}")
    raise DataError(f"{source} is not a dataset in a known format", hint=_FORMS)
