"""Names what is on images."""

from __future__ import annotations

from typing import Any

from striate.core.errors import ImageError
from striate.core.events import ProgressCallback
from striate.jobs import task_model
from striate.jobs.classifier import ensemble
from striate.records.plans import PredictPlan


def run(plan: PredictPlan, progress: ProgressCallback) -> list[dict[str, Any]]:
    """A row for every image: ``file``, ``predictions`` (``label``, ``probability``), and ``error`` where it failed.

    Args:
        plan: The models, the images, and how many names for each.
        progress: Receives progress.

    Raises:
        CheckpointError: A model cannot be used.
        PlanError: The models do not know the same classes.
    """
    if task_model.task_of(plan.model) != "classify":  # others are neither ensembled nor augmented at test time
        return task_model.predict(plan, progress)
    named = (plan.model, *plan.also)
    classifier = ensemble(named, snapshots=plan.snapshots, tta=plan.tta, device=plan.device)
    progress.phase("predicting", len(plan.images), "image")
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(plan.images, start=1):
        try:
            rows.append({"file": file, "predictions": classifier.predict(file, plan.top)})
        except ImageError as error:
            rows.append({"file": file, "predictions": [], "error": str(error)})
        progress.step(number)
    return rows
