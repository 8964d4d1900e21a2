"""What `check`, `predict`, `models`, `features` and `publish` find out."""

from __future__ import annotations

from dataclasses import dataclass


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
