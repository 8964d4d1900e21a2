"""What a finished run shows for itself: the counts of its images, ``predictions.csv``, and the report."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate import tasks
from striate.core.atomic import replacing
from striate.core.errors import DataError, ImageError, OutOfMemoryError
from striate.core.words import csv_cell
from striate.data.decode import thumbnail
from striate.data.image_index import ImageIndex
from striate.jobs.dataset import DataSet
from striate.records.results import DataIssue, DataSummary, FitRecord, TrainRecord
from striate.report import html

PREDICTIONS = "predictions.csv"


def summary(
    source: str, data: DataSet, splits: Mapping[str, np.ndarray], issues: tuple[DataIssue, ...], unreadable: int
) -> DataSummary:
    """How many images there were.

    Args:
        source: The data as the user named it.
        data: All images.
        splits: Positions of those that could be read, under ``train``, ``validation``, ``test`` and ``unused``; an
            absent split is empty.
        issues: What was noticed.
        unreadable: Images that could not be read.
    """
    names = ("train", "validation", "test", "unused")
    found = {name: splits.get(name, np.array([], dtype=np.int64)) for name in names}
    return DataSummary(
        source=source,
        classes=data.classes,
        counts=data.task.counts(data.targets, found),
        train=len(found["train"]),
        validation=len(found["validation"]),
        test=len(found["test"]),
        unused=len(found["unused"]),
        unreadable=unreadable,
        issues=issues,
    )


def require_readable(positions: np.ndarray, unreadable: Mapping[int, str], *, hint: str) -> None:
    """Refuse to score a network on nothing.

    Args:
        positions: Images that could be read.
        unreadable: Reason by position of those that could not.
        hint: What to do.

    Raises:
        DataError: None could be read.
    """
    if not len(positions):
        why = next(iter(unreadable.values()), "there is none")
        raise DataError(f"none of the images to test on can be read: {why}", hint=hint)


def write(folder: Path, record: FitRecord | TrainRecord, said: Sequence[Any], index: ImageIndex) -> None:
    """Write ``predictions.csv`` and ``report.html`` into a run's folder, each whole or not at all.

    Args:
        folder: Of the run.
        record: What it found.
        said: A record per test image, the rows of ``predictions.csv``.
        index: Where the images of the worst mistakes are.

    Raises:
        StorageError: They cannot be written.
    """
    with replacing(folder / PREDICTIONS, "w") as stream:
        writer = csv.DictWriter(stream, [f.name for f in dataclasses.fields(said[0])], lineterminator="\n")
        writer.writeheader()
        for each in said:
            writer.writerow({name: _cell(value) for name, value in dataclasses.asdict(each).items()})
    mistakes = tasks.get(record.task).mistakes(said)
    names = {mistake.file for mistake in mistakes}
    thumbnails: dict[str, bytes] = {}
    for number, name in enumerate(index.names):
        if name in names:
            with contextlib.suppress(ImageError, OutOfMemoryError):  # it was there when it was tested
                thumbnails[name] = thumbnail(index.read(number))
    html.write(folder, record, mistakes=mistakes, thumbnails=thumbnails)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6f}"
    return csv_cell(value) if isinstance(value, str) else value
