"""Finished runs, as `striate.fit` and `striate.train` return them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, final

from striate.data.transforms import ImageLike
from striate.jobs.classifier import TrainedClassifier, load
from striate.records.results import FitRecord, TrainRecord

RecordT = TypeVar("RecordT", FitRecord, TrainRecord)


@final
class Run(Generic[RecordT]):
    """A finished run: its record, its folder, and the trained classifier.

    Args:
        folder: The run's folder. It is all that is needed to use the classifier later: `striate.load`.
        record: The content of ``metrics.json``.
    """

    def __init__(self, folder: Path, record: RecordT) -> None:
        self.folder = folder
        self.record: RecordT = record

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    @cached_property
    def classifier(self) -> TrainedClassifier:
        """The trained classifier, loaded on first use."""
        return load(self.folder)

    def predict(self, images: ImageLike | Sequence[ImageLike], top: int = 5) -> Any:
        """The most probable classes of one image or of several, as `TrainedClassifier.predict`."""
        return self.classifier.predict(images, top)  # pyright: ignore[reportCallIssue, reportArgumentType]

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, test accuracy {self.record.test.top1:.4f})"


def reference(model: str | Path | Run[Any] | TrainedClassifier) -> str:
    """How a plan names a model.

    Args:
        model: A name, a folder, a run, or a loaded classifier.
    """
    if isinstance(model, Run):
        return str(model.folder)
    return model.name if isinstance(model, TrainedClassifier) else str(model)
