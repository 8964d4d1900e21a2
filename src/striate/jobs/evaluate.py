"""Measures models on labelled images: each alone, and all together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from striate import tasks
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import pick
from striate.core.events import NoProgress, ProgressCallback
from striate.data.audit import notes_of, skipped_files, unreadable_images
from striate.data.digest import count_in_set, digests
from striate.data.index import ImageIndex, scan
from striate.data.labels import numbers
from striate.inference import predict as running
from striate.jobs import run_files, task_model
from striate.jobs.classifier import TrainedClassifier, members
from striate.records.plans import EvalPlan
from striate.records.results import Difference, EvalRecord, ModelScore, Score
from striate.tasks.ensemble import Ensemble
from striate.tasks.intervals import paired_difference, wilson
from striate.tasks.probabilities import log_mean_of_views
from striate.weights.trained import IMAGES


def run(plan: EvalPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None) -> Any:
    """Score runs and published models, and what they come to together.

    A published model's outputs are matched to the data's labels by synset, name or number.

    Args:
        plan: The models, the data, and which part of it.
        progress: Receives progress, a list of images that could not be read, and of those that a model was trained on.
        cancel: Asks the job to stop at its next step; None never asks.

    Raises:
        DataError: A label of the data is none of the models', or there is no such part.
        PlanError: The models do not know the same classes, or cannot look at images as asked.
    """
    progress = CancelPoints(progress or NoProgress(), cancel or CancelToken())
    kind = tasks.get(task_model.task_of(plan.model))
    if not kind.averages:
        return task_model.evaluate(plan, _part(plan, scan(plan.data, root=plan.root)), progress)
    named = (plan.model, *plan.also)
    classifiers = members(named, snapshots=plan.snapshots, tta=plan.tta, device=plan.device, progress=progress)
    together = Ensemble(classifiers)
    index = scan(plan.data, root=plan.root)
    task, targets = kind.from_card({"classes": together.classes}), numbers(index, together.classes, together.place)
    positions = _part(plan, index)
    for note in notes_of(skipped_files(index)):
        progress.note(note)
    trained_on = _trained_on(classifiers, index, positions, progress)
    looks = [_looked(each, index, positions, plan, progress) for each in classifiers]
    shared = reduce(np.intersect1d, [each.positions for each in looks])
    run_files.require_readable(shared, looks[0].unreadable, hint="check the files: striate check DATA")
    labels = targets[shared]
    values = [each.values[np.searchsorted(each.positions, shared)] for each in looks]
    tta = [None] if plan.tta is None else [None, plan.tta]
    singles = [
        _Way(model=classifier.name, tta=name, log_p=log_p[:, look], trained_on=seen)
        for classifier, log_p, seen in zip(classifiers, together.arrange(values), trained_on, strict=True)
        for look, name in enumerate(tta)
    ]
    joined = [
        _Way(model=f"ensemble of {len(classifiers)}", tta=name, log_p=together.join([each[:, look] for each in values]))
        for look, name in enumerate(tta)
        if len(classifiers) > 1
    ]
    scores = [task.score(way.log_p, labels) for way in (*singles, *joined)]
    first = singles[0].right(labels)
    rows = [
        _standing(way, found, None if way is singles[0] else paired_difference(way.right(labels), first))
        for way, found in zip((*singles, *joined), scores, strict=True)
    ]
    final: dict[str, Any] = {f.name: getattr(scores[-1], f.name) for f in dataclasses.fields(Score)}
    if len(classifiers) == 1:
        final["temperature"] = classifiers[0].temperature
    return EvalRecord(**final, single=tuple(rows[: len(singles)]), ensemble=tuple(rows[len(singles) :]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Way:
    """One way of classifying: the model, its augmentation, and log-probabilities ``[n, classes]``."""

    model: str
    tta: str | None
    log_p: np.ndarray
    trained_on: int | None = None

    def right(self, labels: np.ndarray) -> np.ndarray:
        """Which images are named rightly, bool ``[n]``."""
        return self.log_p.argmax(axis=1) == labels


def _part(plan: EvalPlan, index: ImageIndex) -> np.ndarray:
    """The images that are asked for."""
    split = plan.split or ("test" if index.splits is not None and "test" in index.splits else None)
    if split is None:
        return np.arange(len(index))
    return index.in_split(split)


def _trained_on(
    classifiers: Sequence[TrainedClassifier], index: ImageIndex, positions: np.ndarray, progress: ProgressCallback
) -> list[int | None]:
    """How many of the images each one's training saw, as far as its run folder says; also reported as progress."""
    kept = [None if each.folder is None else each.folder / IMAGES for each in classifiers]
    if not any(path is not None and path.is_file() for path in kept):
        return [None] * len(classifiers)
    hashes = digests(index, progress)
    found: list[int | None] = []
    for classifier, path in zip(classifiers, kept, strict=True):
        count = count_in_set(path, [hashes[p] for p in positions]) if path is not None and path.is_file() else None
        if count:
            progress.note(
                f"{count:,} of {len(positions):,} images were used to train or select {classifier.name}, so its "
                "metrics are too optimistic"
            )
        found.append(count)
    return found


def _looked(
    classifier: TrainedClassifier, index: ImageIndex, positions: np.ndarray, plan: EvalPlan, progress: ProgressCallback
) -> running.Outputs:
    """Log-probabilities of every image, ``[n, looks, classes]``: unchanged, and the mean over augmented copies."""
    tta, temperature = classifier.tta, classifier.temperature

    def looks(logits: np.ndarray) -> np.ndarray:
        plain = log_mean_of_views(logits[:1], [1.0], temperature)
        several = [log_mean_of_views(logits, tta.weights, temperature)] if len(logits) > 1 else []
        return np.stack([plain, *several], axis=1).astype(np.float32)

    outputs = running.predict_batches(
        classifier.network,
        classifier.preprocess,
        index,
        positions,
        width=len(classifier.classes),
        progress=progress,
        phase=f"evaluating {classifier.name}",
        batch=plan.batch,
        engine=plan.engine,
        device=pick(plan.device or "cpu"),
        tta=tta,
        join=looks,
    )
    for note in notes_of(unreadable_images(index, outputs.unreadable)):
        progress.note(note)
    if outputs.agreement.note:
        progress.note(outputs.agreement.note)
    return outputs


def _standing(way: _Way, found: Score, gain: Difference | None) -> ModelScore:
    return ModelScore(
        model=way.model,
        tta=way.tta,
        top1=found.top1,
        top1_interval=found.top1_interval,
        top1_error=1 - found.top1,
        top5=found.top5,
        top5_interval=wilson(round(found.top5 * found.n), found.n),
        top5_error=1 - found.top5,
        loss=found.loss,
        ece=found.ece,
        gain=gain,
        trained_on=way.trained_on,
    )
