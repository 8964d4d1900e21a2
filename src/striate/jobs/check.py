"""``striate check``: the data, before any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striate.core.atomic import write_bytes
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.events import NoProgress, ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.digest import digests
from striate.data.headers import headers
from striate.data.index import ImageIndex, dataset_name
from striate.data.loaders import batches
from striate.jobs import dataset, preview
from striate.models import REGISTRY
from striate.models.pixels import default_preprocess
from striate.records.plans import CheckPlan
from striate.records.recipes import recipe, title
from striate.records.verbs import CheckRecord

_BATCH = 64
_LOOK = Preprocess(size=(16, 16))


def run(plan: CheckPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None) -> CheckRecord:
    """Decode every image, and say what is wrong with any of them or with all together.

    Args:
        plan: The data, and what to draw of it.
        progress: Receives progress; None reports none.
        cancel: Asks the job to stop at its next step; None never asks.

    Raises:
        JobCancelled: `cancel` asked to stop.
        DataError: The data cannot be trained on at all.
        PlanError: There is no such recipe.
        UnknownModelError: There is no such network.
    """
    progress, asked = CancelPoints(progress or NoProgress(), cancel or CancelToken()), plan.preview
    varies = None if asked is None else recipe(asked.recipe).augment
    shape = None if asked is None or asked.network is None else REGISTRY.get(asked.network).input
    data = dataset.read(plan.task, plan.data, plan.root)
    index, task = data.index, data.task
    hashes = digests(index, progress)
    unreadable = _unreadable(index, progress)
    seen = headers(index)
    counts = task.counts(data.targets, {"all": np.arange(len(index))})
    path = None
    if asked is not None and varies is not None:
        progress.phase("drawing augmented images")
        readable = np.array([p for p in range(len(index)) if p not in unreadable])
        if shape is None:
            side = round(min(seen.middle_side(readable) or asked.side, asked.side))
            shape = (3, side, side)
        path = asked.out or f"{dataset_name(plan.data)}-{title(asked.recipe)}.png"
        write_bytes(Path(path), preview.drawn(data, seen, readable, asked, varies, default_preprocess(shape)))
        progress.step(1)
    return CheckRecord(
        classes={name: each["all"] for name, each in counts.items()},
        images=len(index),
        issues=task.audit(index, data.targets, hashes, unreadable=unreadable, seen=seen),
        augmented=path,
    )


def _unreadable(index: ImageIndex, progress: ProgressCallback) -> dict[int, str]:
    """The images that cannot be decoded, reason by position."""
    progress.phase("decoding images", len(index), "image")
    found: dict[int, str] = {}
    done = 0
    for batch in batches(index, range(len(index)), _LOOK, batch=_BATCH):
        found |= batch.failed
        done += len(batch.positions)
        progress.step(done)
    return found
