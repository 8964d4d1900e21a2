"""The images of a data set: their names, annotations and splits, and access to their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from striate.core.errors import DataError
from striate.data.column import CategoryColumn, TextColumn
from striate.data.layout import Listing, arrange, name_splits, natural
from striate.data.split_names import TRAIN, role
from striate.data.stores import Store

LABEL = "label"
"""The annotation column that every form of data has: the name of the class folder, or the manifest's ``label``."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageIndex:
    """Images with their annotations as text, one column per property; nothing is decoded.

    What an annotation means is the task's business: a classification reads class names, a regression reads numbers.

    Args:
        source: The data as the user named it.
        kind: ``folder``, ``manifest``, ``archive`` or ``standard``.
        names: Unique paths within the source, with slashes, as they are shown to people.
        annotations: What the source says about each image: columns by name, each ``[n]``. A `CategoryColumn` also holds
            values that no image has, such as empty class folders.
        splits: ``train``, ``validation`` or ``test`` for each image; None if the source names no splits.
        groups: What each image belongs to (a patient, a scene), "" for an image on its own; None without groups.
        skipped: Files that are not among the images, each with the reason.
        store: Reads the bytes.
    """

    source: str
    kind: str
    names: Sequence[str]
    annotations: Mapping[str, Sequence[str]]
    splits: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    store: Store

    def __len__(self) -> int:
        return len(self.names)

    def read(self, i: int) -> bytes | np.ndarray:
        """Image `i`: encoded bytes, or uint8 pixels ``[h, w]`` or ``[h, w, 3]`` of a binary standard set.

        Any number of threads may read at once.

        Raises:
            ImageError: It cannot be read.
        """
        return self.store.read(i)

    def stamp(self, i: int) -> str:
        """A key that changes when image `i` changes: cheap, so that digests can be remembered under it.

        The part after its last colon is the time of the last change, in nanoseconds.
        """
        return self.store.stamp(i)

    def in_split(self, name: str) -> np.ndarray:
        """Positions of the images in one of the source's splits, int64, ascending.

        Args:
            name: ``train``, ``validation``, ``test``, or another name that means one, such as ``val``.

        Raises:
            DataError: The source names no such split.
        """
        splits = np.array(self.splits or (), dtype=str)
        found = np.flatnonzero(splits == (role(name) or name))
        if not len(found):
            named = ", ".join(sorted(set(splits.tolist()))) or "none"
            raise DataError(
                f"{self.source} has no split {name!r}; its splits: {named}",
                hint="a validation split without a test split is used as the test split",
            )
        return found

    def annotation(self, column: str) -> Sequence[str]:
        """One column of the annotations.

        Raises:
            DataError: The data has no such column.
        """
        if column not in self.annotations:
            has = ", ".join(self.annotations) or "none"
            raise DataError(
                f"{self.source} has no column {column!r}; its annotation columns: {has}",
                hint=f"add the column {column!r} to the manifest",
            )
        return self.annotations[column]


def from_columns(
    *,
    source: str,
    kind: str,
    names: Sequence[str],
    annotations: Mapping[str, Sequence[str]],
    splits: Sequence[str] | None,
    groups: Sequence[str] | None = None,
    store: Store,
    skipped: Mapping[str, str] | None = None,
) -> ImageIndex:
    """An index of columns that hold text.

    Args:
        source: The data as the user named it.
        kind: As in `ImageIndex`.
        names: Unique paths.
        annotations: Columns by name.
        splits: The split of each image as the source names it; a ``val`` without a ``test`` becomes the test split. If
            all are ``train``, there are no splits.
        groups: The group of each image.
        store: Reads them, in this order.
        skipped: What was left out.
    """
    found = set(splits or ())
    roles = name_splits(found) if found - {TRAIN} else None
    return ImageIndex(
        source=source,
        kind=kind,
        names=names,
        annotations=annotations,
        splits=tuple(roles[split] for split in splits) if roles and splits is not None else None,
        groups=None if groups is None else tuple(groups),
        skipped=skipped or {},
        store=store,
    )


def from_listing(source: str, kind: str, listing: Listing, *, as_classes: bool = False) -> ImageIndex:
    """An index of the files in a folder or archive.

    Args:
        source: The data as the user named it.
        kind: As in `ImageIndex`.
        listing: Its files.
        as_classes: Whether every folder is a class, even one that is called like a split.

    Raises:
        DataError: There is no image in a class folder, or the layout contradicts itself.
    """
    try:
        found = arrange(listing.files, listing.folders, source=source, as_classes=as_classes)
    except DataError as error:
        raise DataError(f"{source}: {error.message}", hint=error.hint) from error
    return from_columns(
        source=source,
        kind=kind,
        names=TextColumn(listing.files[row] for row in found.rows),
        annotations={LABEL: CategoryColumn.of(found.labels, also=found.classes, order=natural)},
        splits=found.splits,
        store=listing.choose(found.rows),
        skipped=found.skipped,
    )
