"""Class labels of a data set that a classifier is trained on, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from striate.core.errors import DataError
from striate.data.column import CategoryColumn
from striate.data.image_index import ImageIndex
from striate.data.labels import class_column, listed
from striate.data.split import Splits
from striate.data.split_names import TEST, TRAIN, VALIDATION
from striate.records.results import DataIssue

IMBALANCE = 5
"""A data set is imbalanced if its largest class has at least this many times the images of the smallest."""

SMALL_CLASS = 10
"""Classes with fewer images than this are reported."""


def training_column(index: ImageIndex) -> CategoryColumn:
    """`class_column` of data that a classifier can be trained on.

    Raises:
        DataError: As `class_column`; or there is one class only, or a class or the whole data without a training image.
    """
    column = class_column(index)
    if index.splits is not None and TRAIN not in index.splits:
        raise DataError(
            f"{index.source} has no training images: its splits are {' and '.join(sorted(set(index.splits)))}",
            hint="add a train folder or split; striate eval MODEL DATA evaluates a model on such data",
        )
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
            f"{index.source} has classes with {what}: {listed(empty)}", hint="add images, or remove the class folder"
        )
    return column


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
