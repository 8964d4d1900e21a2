"""A trained model of any task: its network, its preprocessing, and the task that interprets its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate import tasks
from striate.core.device import pick
from striate.core.errors import CheckpointError, PlanError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.index import scan
from striate.data.loaders import ImageSource
from striate.inference.predict import ImageList, Outputs, predict_batches
from striate.jobs import run_files
from striate.jobs.inputs import Inputs
from striate.models.pixels import PixelNetwork
from striate.records.plans import EvalPlan, PredictPlan
from striate.records.verbs import PredictRecord
from striate.tasks.base import Task
from striate.weights import open_model
from striate.weights.trained import is_model_folder, read_card


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskModel:
    """A trained model of any task.

    Args:
        task: Interprets the outputs.
        network: Maps uint8 images to outputs.
        preprocess: How images are decoded.
        temperature: Fitted on validation images; 1 if the task has none.
        device: Where it runs.
    """

    task: Task
    network: PixelNetwork
    preprocess: Preprocess
    temperature: float
    device: torch.device

    def outputs(
        self, images: ImageSource, positions: Sequence[int] | np.ndarray, progress: ProgressCallback, *, phase: str
    ) -> Outputs:
        """The outputs of the network; images that cannot be read are left out."""
        return predict_batches(
            self.network,
            self.preprocess,
            images,
            positions,
            width=self.task.outputs,
            progress=progress,
            phase=phase,
            device=self.device,
        )


def task_of(model: str) -> str:
    """The name of the task of a model; published models are classifiers."""
    return read_card(Path(model)).task if is_model_folder(model) else "classify"


def load(model: str, device: str | None = None) -> TaskModel:
    """Load a trained model of any task.

    Args:
        model: A run folder.
        device: As `core.device.pick` takes it; None is the CPU.

    Raises:
        CheckpointError: The folder holds no trained model, or a damaged one.
    """
    opened = open_model(model)
    if opened.found is None:
        raise CheckpointError(f"{model} is not the folder of a run")
    card, where = opened.found.card, pick(device or "cpu")
    task = tasks.get(card.task).from_card({"classes": card.classes})
    network = PixelNetwork(opened.model, opened.preprocess).to(where).eval()
    return TaskModel(
        task=task, network=network, preprocess=opened.preprocess, temperature=card.temperature, device=where
    )


def predict(plan: PredictPlan, progress: ProgressCallback) -> tuple[PredictRecord, ...]:
    """One record per image.

    Raises:
        PlanError: The plan asks for several models or for test-time augmentation, which only classifications have.
    """
    _require_one_model(plan)
    model = load(plan.model, plan.device)
    images = Inputs(plan.images)
    found = model.outputs(ImageList(images), range(len(images)), progress, phase="predicting")
    predictions = model.task.predictions(found.values, temperature=model.temperature, top=plan.top)
    by_position = dict(zip(found.positions.tolist(), predictions, strict=True))
    return tuple(
        PredictRecord(file=file, predictions=tuple(by_position[i]))
        if i in by_position
        else PredictRecord(file=file, predictions=(), error=found.unreadable[i])
        for i, file in enumerate(images.names)
    )


def evaluate(plan: EvalPlan, positions: np.ndarray, progress: ProgressCallback) -> Any:
    """The score of a trained model on a data set, of the task's `score_type`.

    Args:
        plan: The model and the data.
        positions: The images to evaluate on.
        progress: Receives progress.

    Raises:
        PlanError: As `predict`.
        DataError: The data set does not have what the task needs.
    """
    _require_one_model(plan)
    model, index = load(plan.model, plan.device), scan(plan.data, root=plan.root)
    targets = model.task.targets(index)
    found = model.outputs(index, positions, progress, phase=f"evaluating {plan.model}")
    run_files.require_readable(found.positions, found.unreadable, hint="check the files: striate check DATA")
    return model.task.score(found.values, targets[found.positions], temperature=model.temperature)


def _require_one_model(plan: PredictPlan | EvalPlan) -> None:
    if plan.also or plan.snapshots or plan.tta:
        raise PlanError(
            f"{plan.model} is not a classifier: ensembles, snapshots and test-time augmentation average probabilities",
            hint="give one model, without --snapshots and --tta",
        )
