"""Names what is on pictures."""

from __future__ import annotations

from typing import Any

from striate.core.errors import PictureError
from striate.core.events import Listener
from striate.jobs.artefact import load
from striate.records.plans import PredictPlan


def run(plan: PredictPlan, listener: Listener) -> list[dict[str, Any]]:
    """A row for every picture: ``file``, ``predictions`` (``label``, ``probability``), and ``error`` where it failed.

    Args:
        plan: The model, the pictures, and how many names for each.
        listener: Hears of progress.

    Raises:
        CheckpointError: The model cannot be used.
    """
    classifier = load(plan.model, device=plan.device)
    listener.phase("predicting", len(plan.pictures), "picture")
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(plan.pictures, start=1):
        try:
            rows.append({"file": file, "predictions": classifier.predict(file, plan.top)})
        except PictureError as error:
            rows.append({"file": file, "predictions": [], "error": str(error)})
        listener.step(number)
    return rows
