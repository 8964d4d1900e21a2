"""The main job as Python users call it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, final

from striate.core.durations import parse_duration
from striate.core.events import NoProgress, ProgressCallback
from striate.jobs import fit as job
from striate.jobs.classifier import TrainedClassifier, load
from striate.records.plans import FitPlan
from striate.records.results import FitRecord
from striate.tasks.classify.ensemble import ImageLike


@final
class Run:
    """A finished run.

    Args:
        folder: Where it is kept.
        record: What ``metrics.json`` holds.
    """

    def __init__(self, folder: Path, record: FitRecord) -> None:
        self.folder = folder
        self.record = record

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @cached_property
    def classifier(self) -> TrainedClassifier:
        """The trained classifier, loaded on first use."""
        return load(self.folder)

    def predict(self, image: ImageLike, top: int = 5) -> list[dict[str, Any]]:
        """The likeliest classes of an image, likeliest first: ``label`` and ``probability``.

        Args:
            image: A file, encoded bytes, or decoded uint8 ``[h, w]`` or ``[h, w, 3]``.
            top: At most so many.

        Raises:
            ImageError: It cannot be read.
        """
        return self.classifier.predict(image, top)


def fit(
    data: str | Path = "digits",
    *,
    out: str | Path | None = None,
    budget: str | float | None = None,
    progress: ProgressCallback | None = None,
    **plan: Any,
) -> Run:
    """Make a classifier of labelled images, and gather the evidence for trusting it.

    Args:
        data: A folder, manifest, archive, or the name of a standard set.
        out: The run's folder; None takes the next free ``runs/<data>-<n>``. A run that was stopped goes on, a finished
            one is returned.
        budget: Bound on the whole run: seconds, or ``90s``, ``10m``, ``2h``; None bounds the work instead.
        progress: Hears of progress; None for silence.
        **plan: Other fields of `records.plans.FitPlan`: ``backbone``, ``per_class``, ``seed``, ...

    Raises:
        StriateError: As `jobs.fit.run`.
    """
    budget_s = parse_duration(budget) if isinstance(budget, str) else None if budget is None else float(budget)
    asked = FitPlan(data=str(data), budget_s=budget_s, **plan)
    outcome = job.run(asked, None if out is None else Path(out), progress or NoProgress())
    return Run(outcome.folder, outcome.record)
