"""Names what is on pictures."""

from __future__ import annotations

from typing import Any

from striate.core.errors import PictureError
from striate.core.events import Listener
from striate.jobs.artefact import ensemble
from striate.records.plans import PredictPlan


def run(plan: PredictPlan, listener: Listener) -> list[dict[str, Any]]:
    """A row for every picture: ``file``, ``predictions`` (``label``, ``probability``), and ``error`` where it failed.

    Args:
        plan: The models, the pictures, and how many names for each.
        listener: Hears of progress.

    Raises:
        CheckpointError: A model cannot be used.
        PlanError: The models do not know the same classes.
    """
    named = (plan.model, *plan.also)
    classifier = ensemble(named, snapshots=plan.snapshots, views=plan.views, device=plan.device)
    listener.phase("predicting", len(plan.pictures), "picture")
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(plan.pictures, start=1):
        try:
            rows.append({"file": file, "predictions": classifier.predict(file, plan.top)})
        except PictureError as error:
            rows.append({"file": file, "predictions": [], "error": str(error)})
        listener.step(number)
    return rows
