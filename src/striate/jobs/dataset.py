"""The labelled images of a job: read, hashed and split. Every job that trains begins here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from striate import tasks
from striate.cache.fill import unread
from striate.core.events import ProgressCallback
from striate.data.audit import notes_of, skipped_files
from striate.data.digest import digests
from striate.data.headers import narrow
from striate.data.index import ImageIndex, scan
from striate.data.split import Splits, split
from striate.tasks.base import Targets, Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """The images that a plan names, and what stands beside each.

    Args:
        index: The images.
        task: What a network is trained for on them.
        targets: One per image.
    """

    index: ImageIndex
    task: Task
    targets: Targets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """Labelled images with their splits.

    Args:
        index: The images.
        task: What a network is trained for on them.
        targets: One per image.
        hashes: sha256 of every image; empty for one that could not be read.
        splits: Positions of each split.
        unreadable: Images that could not be read, reason by position.
    """

    index: ImageIndex
    task: Task
    targets: Targets
    hashes: tuple[str, ...]
    splits: Splits
    unreadable: Mapping[int, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty for a task without classes."""
        return tuple(self.task.card().get("classes", ()))

    def hashes_of(self, positions: Collection[int]) -> list[str]:
        """The hashes of some images."""
        return [self.hashes[p] for p in positions]

    def labelled(self, positions: np.ndarray) -> Targets:
        """The targets of some images."""
        return self.targets[positions]


def read(task: str, data: str, root: str | None) -> Labelled:
    """List the images.

    Args:
        task: Name of the task.
        data: As `striate.data.index.scan` takes it.
        root: As `scan` takes it.

    Raises:
        DataError: There are none, or they do not have what the task needs.
        PlanError: There is no such task.
    """
    index = scan(data, root=root)
    found, targets = tasks.get(task).read(index)
    return Labelled(index=index, task=found, targets=targets)


def hash_and_split(
    labelled: Labelled, *, seed: int, progress: ProgressCallback, per_class: int | None = None
) -> DataSet:
    """Hash every image's file, and split the images by their hashes.

    Args:
        labelled: The images.
        seed: Random seed of the split.
        progress: Reports the hashing.
        per_class: As `striate.data.split.split` takes it.

    Raises:
        DataError: The images are too few to split.
    """
    index = labelled.index
    for note in notes_of(skipped_files(index)):
        progress.note(note)
    hashes = digests(index, progress)
    unreadable = unread(index, hashes)
    if (dark := narrow(index, range(len(index)))).common:
        progress.note(str(dark))
    strata = labelled.task.strata(labelled.targets)
    return DataSet(
        index=index,
        task=labelled.task,
        targets=labelled.targets,
        hashes=hashes,
        splits=split(index, hashes, seed=seed, strata=strata, per_class=per_class, exclude=unreadable),
        unreadable=unreadable,
    )
