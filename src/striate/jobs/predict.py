"""Classifies images with trained models."""

from __future__ import annotations

import numpy as np

from striate import tasks
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.events import NoProgress, ProgressCallback
from striate.jobs import task_model
from striate.jobs.classifier import members
from striate.jobs.inputs import Inputs
from striate.records.plans import PredictPlan
from striate.records.verbs import PredictRecord
from striate.tasks.ensemble import Ensemble


def run(
    plan: PredictPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
) -> tuple[PredictRecord, ...]:
    """Predict every image; one that cannot be read has a record with an error.

    Args:
        plan: The models, the images, and how many names for each.
        progress: Receives progress.
        cancel: Asks the job to stop at its next step; None never asks.

    Raises:
        CheckpointError: A model cannot be used.
        PlanError: The models do not know the same classes.
        DataError: A folder, an archive or a pattern gives no image.
    """
    progress = CancelPoints(progress or NoProgress(), cancel or CancelToken())
    if not tasks.get(task_model.task_of(plan.model)).averages:
        return task_model.predict(plan, progress)
    images, named = Inputs(plan.images), (plan.model, *plan.also)
    classifiers = members(named, snapshots=plan.snapshots, tta=plan.tta, device=plan.device, progress=progress)
    together = Ensemble(classifiers)
    phases = ["predicting"] if len(classifiers) == 1 else [f"predicting with {each.name}" for each in classifiers]
    found = [each.outputs(images, progress, phase) for each, phase in zip(classifiers, phases, strict=True)]
    positions = found[0].positions  # the same for every model: decoding fails on the same images
    probabilities = dict(zip(positions.tolist(), np.exp(together.join([each.values for each in found])), strict=True))
    return tuple(
        PredictRecord(file=file, predictions=tuple(together.best(probabilities[number], plan.top)))
        if number in probabilities
        else PredictRecord(file=file, predictions=(), error=found[0].unreadable[number])
        for number, file in enumerate(images.names)
    )
