"""Class labels: read from the annotations of a data set, and checked."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from striate.core.errors import DataError
from striate.data.column import CategoryColumn
from striate.data.image_index import LABEL, ImageIndex
from striate.data.layout import TEST, TRAIN, VALIDATION, natural
from striate.data.split import Splits
from striate.records.results import DataIssue

IMBALANCE = 5
"""A data set is imbalanced if its largest class has at least this many times the images of the smallest."""

SMALL_CLASS = 10
"""Classes with fewer images than this are reported."""

_SHOWN = 5


def class_column(index: ImageIndex) -> CategoryColumn:
    """The class names of a data set in order, and the class of each image.

    Raises:
        DataError: There is no label column, an image has no label, or class names differ only in case.
    """
    column = index.annotation(LABEL)
    if not isinstance(column, CategoryColumn):
        column = CategoryColumn.of(column, order=natural)
    if "" in column.values:
        missing = [index.names[int(i)] for i in np.flatnonzero(column.codes == column.values.index(""))]
        raise DataError(
            f"{index.source} has {len(missing)} images without a label: {_listed(missing)}",
            hint="give them a label, or remove them",
        )
    refuse_likeness(column.values)
    return column


def training_column(index: ImageIndex) -> CategoryColumn:
    """`class_column` of data that a classifier can be trained on.

    Raises:
        DataError: As `class_column`; or there is one class only, or a class without a training image.
    """
    column = class_column(index)
    if len(column.values) < 2:
        raise DataError(
            f"{index.source} has one class only: {', '.join(map(repr, column.values))}",
            hint="a classifier needs at least two class folders",
        )
    training = np.ones(len(index), dtype=bool) if index.splits is None else np.array(index.splits) == TRAIN
    counts = np.bincount(column.codes[training], minlength=len(column.values))
    empty = [repr(name) for name, n in zip(column.values, counts, strict=True) if not n]
    if empty:
        what = "no image" if index.splits is None else "no training image"
        raise DataError(
            f"{index.source} has classes with {what}: {_listed(empty)}", hint="add images, or remove the class folder"
        )
    return column


def refuse_likeness(classes: Iterable[str]) -> None:
    """Refuse classes whose names differ only in case or in how accents are encoded.

    Raises:
        DataError: Two do.
    """
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise DataError(
                f"classes {other!r} and {name!r} differ only in case or accents",
                hint="give both the same name if they are one class, or distinct names if they are two",
            )


def match(found: Sequence[str], classes: Sequence[str], place: Callable[[str], int | None]) -> np.ndarray:
    """The output of a trained model that each class of a data set means, int64 ``[found]``.

    Args:
        found: The class names of the data.
        classes: Those of the model.
        place: From a class name to its output; None if the model does not know it.

    Raises:
        DataError: The model does not know a class, or two classes mean the same output.
    """
    places = {name: place(name) for name in found}
    unknown = [repr(name) for name, output in places.items() if output is None]
    if unknown:
        known = ", ".join(map(repr, classes[:_SHOWN])) + (", ..." if len(classes) > _SHOWN else "")
        raise DataError(
            f"the model does not know the class {_listed(unknown)}", hint=f"rename the classes; it knows {known}"
        )
    if len(set(places.values())) < len(places):
        raise DataError("two classes of the data mean the same class of the model", hint="merge them")
    return np.array(list(places.values()), dtype=np.int64)


def issues(
    classes: Sequence[str], labels: np.ndarray, usable: np.ndarray, splits: Splits | None
) -> Iterable[DataIssue]:
    """Imbalance, small classes, and classes that are missing from a set.

    Args:
        classes: Class names.
        labels: The class of every image, int64 ``[n]``.
        usable: Positions of the images that can be read.
        splits: The split in use; None before there is one.
    """
    counts = np.bincount(labels[usable], minlength=len(classes))
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    if counts[largest] >= IMBALANCE * max(int(counts[smallest]), 1):
        yield DataIssue(
            kind="imbalance",
            files=(),
            detail=f"{classes[largest]!r} has {counts[largest]} images, {classes[smallest]!r} has "
            f"{counts[smallest]}; balanced accuracy says more than accuracy here",
        )
    small = [f"{name!r} ({n})" for name, n in zip(classes, counts, strict=True) if n < SMALL_CLASS]
    if small:
        detail = f"classes with fewer than {SMALL_CLASS} images: {', '.join(small)}"
        yield DataIssue(kind="small_class", files=(), detail=detail)
    if splits is None:
        return
    for name, part in ((TRAIN, splits.train), (VALIDATION, splits.validation), (TEST, splits.test)):
        there = set(labels[part].tolist())
        missing = [repr(each) for label, each in enumerate(classes) if label not in there]
        if missing:
            detail = f"the {name} set has no image of {', '.join(missing)}"
            yield DataIssue(kind="small_class", files=(), detail=detail)


def _listed(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
