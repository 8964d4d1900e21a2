"""The images of a source: their names, classes and splits, and the way to their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from striate.core.errors import DataError
from striate.data.column import TextColumn
from striate.data.layout import Listing, arrange, name_splits, natural, refuse_likeness
from striate.data.stores import Store

_SHOWN = 5


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageIndex:
    """Labelled images, a column for each of their properties; nothing is decoded.

    Args:
        source: The data as the user named it.
        kind: ``folder``, ``manifest``, ``archive`` or ``standard``.
        classes: Names of the classes; a label is a place in this row.
        labels: int64 ``[n]``.
        names: Unique paths within the source, with slashes: what a person is shown.
        splits: ``train``, ``validation`` or ``test`` for each image; None where the source names none.
        groups: What each image belongs to (a patient, a scene), "" for an image on its own; None without groups.
        skipped: Files that are not among the images, each with the reason.
        store: Reads the bytes.
    """

    source: str
    kind: str
    classes: tuple[str, ...]
    labels: np.ndarray
    names: Sequence[str]
    splits: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    store: Store

    def __post_init__(self) -> None:
        refuse_likeness(self.classes)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, i: int) -> bytes | np.ndarray:
        """Image `i`: encoded bytes, or uint8 pixels ``[h, w]`` or ``[h, w, 3]`` of a binary standard set.

        Any number of threads may read at once.

        Raises:
            ImageError: It cannot be read.
        """
        return self.store.read(i)

    def stamp(self, i: int) -> str:
        """A key that changes when image `i` changes: cheap, for remembering digests.

        After its last colon stands the time of the last change, in nanoseconds.
        """
        return self.store.stamp(i)

    def counts(self) -> dict[str, int]:
        """Images of each class, in the order of the classes."""
        found = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, found, strict=True)}

    def mapped(self, classes: Sequence[str], places: Mapping[str, int]) -> ImageIndex:
        """The same images under another class map.

        Args:
            classes: The new names, in order.
            places: For each of the present names, its place among the new ones.

        Raises:
            DataError: A class that has images is not in `places`.
        """
        present = [self.classes[label] for label in np.unique(self.labels)]
        unknown = [name for name in present if name not in places]
        if unknown:
            shown = ", ".join(map(repr, unknown[:_SHOWN])) + (" ..." if len(unknown) > _SHOWN else "")
            known = ", ".join(classes[:_SHOWN]) + (" ..." if len(classes) > _SHOWN else "")
            raise DataError(
                f"{self.source} has {len(unknown)} class(es) that are not among the {len(classes)} expected: {shown}",
                hint=f"expected are {known}",
            )
        table = np.array([places.get(name, -1) for name in self.classes], dtype=np.int64)
        return replace(self, classes=tuple(classes), labels=table[self.labels])


def from_columns(
    *,
    source: str,
    kind: str,
    names: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str] | None,
    groups: Sequence[str] | None = None,
    store: Store,
    classes: Sequence[str] = (),
    skipped: Mapping[str, str] | None = None,
) -> ImageIndex:
    """An index of columns that hold names.

    Args:
        source: The data as the user named it.
        kind: As in `ImageIndex`.
        names: Unique paths.
        labels: A class name for each.
        splits: A split for each as the source names it; a ``val`` without a ``test`` becomes the test split.
        groups: A group for each.
        store: Reads them, in this order.
        classes: Further classes, which may have no image.
        skipped: What was left out.

    Raises:
        DataError: Classes differ only in case, or there are splits without one for training.
    """
    order = tuple(sorted({*labels, *classes}, key=natural))
    places = {name: place for place, name in enumerate(order)}
    roles = name_splits(set(splits)) if splits is not None and len(set(splits)) > 1 else None
    return ImageIndex(
        source=source,
        kind=kind,
        classes=order,
        labels=np.fromiter((places[label] for label in labels), dtype=np.int64, count=len(labels)),
        names=names,
        splits=tuple(roles[split] for split in splits) if roles and splits is not None else None,
        groups=None if groups is None else tuple(groups),
        skipped=skipped or {},
        store=store,
    )


def from_listing(source: str, kind: str, listing: Listing) -> ImageIndex:
    """An index of the files in a folder or archive.

    Raises:
        DataError: There is no image in a class folder, or the layout contradicts itself.
    """
    try:
        found = arrange(listing.files, listing.folders)
    except DataError as error:
        raise DataError(f"{source}: {error.message}", hint=error.hint) from error
    return from_columns(
        source=source,
        kind=kind,
        names=TextColumn(listing.files[row] for row in found.rows),
        labels=found.labels,
        splits=found.splits,
        store=listing.choose(found.rows),
        classes=found.classes,
        skipped=found.skipped,
    )
