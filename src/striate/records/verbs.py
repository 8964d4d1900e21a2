"""What `check`, `predict`, `features` and `publish` find out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from striate.records.io import OPTIONAL
from striate.records.results import DataIssue


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecord:
    """A dataset before training.

    Args:
        classes: Number of images by class name; empty for a task without classes.
        images: Number of images.
        issues: What a person should know about the data.
        augmented: File of the sheet of augmented images; None without one.
    """

    classes: dict[str, int]
    images: int
    issues: tuple[DataIssue, ...]
    augmented: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRecord:
    """The predictions for one image file.

    Args:
        file: As it was named.
        predictions: Best first, as the task defines them: of a classification ``label`` and ``probability``. Empty if
            the file cannot be read.
        error: Why the file cannot be read; None if it can.
    """

    file: str
    predictions: tuple[dict[str, Any], ...]
    error: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesRecord:
    """Extracted features.

    Args:
        file: Where they were written.
        shape: Number of images, and length of each image's features.
        stage: The layer that they were taken from.
        unreadable: Reason by name of every image that could not be read.
    """

    file: str
    shape: tuple[int, int]
    stage: str
    unreadable: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRecord:
    """What was published.

    Args:
        to: The folder, or ``hub:OWNER/NAME``.
        files: Name to bytes.
        licence: Of the weights.
        commit: On the hub; empty for a folder.
        url: On the hub; empty for a folder.
    """

    to: str
    files: dict[str, int]
    licence: str
    commit: str = ""
    url: str = ""
