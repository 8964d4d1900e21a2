"""From the data argument of a command to an index of annotated images."""

from __future__ import annotations

import stat
from pathlib import Path

from striate.core.errors import DataError
from striate.core.reading import reason
from striate.core.registry import nearest
from striate.core.words import command_line
from striate.data import archive, folder, manifest, standard
from striate.data.class_folders import AS_CLASSES
from striate.data.column import TextColumn
from striate.data.image_index import ImageIndex, from_columns, from_listing
from striate.data.layout import is_archive, is_image
from striate.data.stores import FileStore

__all__ = ["ImageIndex", "dataset_file", "dataset_name", "scan"]

_FORMS = "give a folder with one folder per class, a .csv or .parquet manifest, a .tar or .zip, or a standard set"


def dataset_name(data: str) -> str:
    """The name of a dataset, for the folder of a run: that of the file or folder, without extensions.

    Example:
        >>> dataset_name("photos/flowers.tar.gz"), dataset_name("classes:photos/pets/")
        ('flowers', 'pets')
    """
    return dataset_file(data).split(".")[0]


def dataset_file(data: str) -> str:
    """The name of the file or folder of a dataset.

    Example:
        >>> dataset_file("photos/flowers.tar.gz"), dataset_file("classes:pets")
        ('flowers.tar.gz', 'pets')
    """
    return Path(data.removeprefix(AS_CLASSES)).expanduser().resolve().name


def scan(data: str | Path, *, root: str | Path | None = None) -> ImageIndex:
    """Find the images of a dataset and their annotations. The task checks whether the annotations suffice.

    Args:
        data: A folder, a manifest, an archive, or (as a string) the name of a standard set; ``./digits`` is a folder.
            ``classes:photos`` is the folder, archive or manifest ``photos`` in which every folder or label is a class,
            even one that is called like a split.
        root: The folder with the files of a standard set; None for ``digits``, which needs none.

    Raises:
        DataError: The data does not exist or cannot be read.
    """
    if isinstance(data, str) and data in standard.NAMES:
        return standard.load(data, None if root is None else Path(root))
    source = str(data)
    as_classes = isinstance(data, str) and data.startswith(AS_CLASSES)
    path = Path(source.removeprefix(AS_CLASSES) if as_classes else source).expanduser()
    if _is_folder(path, source):
        return from_listing(source, "folder", folder.listing(path), as_classes=as_classes)
    if is_archive(path.name):
        return from_listing(source, "archive", archive.listing(path), as_classes=as_classes)
    if path.suffix.lower() in manifest.ENDINGS:
        table = manifest.read(path, as_classes=as_classes)
        return from_columns(
            source=source,
            kind="manifest",
            names=TextColumn(table.names),
            annotations={name: TextColumn(cells) for name, cells in table.annotations.items()},
            splits=table.splits,
            groups=table.groups,
            store=FileStore(path.parent, TextColumn(table.files)),
            skipped=table.skipped,
        )
    if is_image(path.name):
        to_classify = command_line("striate", "predict", "MODEL", path)
        raise DataError(f"{source} is a single image, not a dataset", hint=f"to classify it, use {to_classify}")
    raise DataError(f"{source} is not a dataset in a known format", hint=_FORMS)


def _is_folder(path: Path, source: str) -> bool:
    """Whether a path is a folder and not a file.

    Raises:
        DataError: It is neither, or it cannot be looked up.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        close = nearest(source, list(standard.NAMES))
        raise DataError(
            f"there is no file or folder {source!r}",
            hint=f"did you mean the standard set {' or '.join(close)}?" if close else _FORMS,
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{source!r} cannot be read: {reason(error)}", hint=_FORMS) from error
