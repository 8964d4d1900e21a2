"""``striate check``: the data, before any training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.core.atomic import write_bytes
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.core.seed import generator
from striate.core.words import plural
from striate.data.decode import decode
from striate.data.digest import digests
from striate.data.headers import Headers, headers
from striate.data.image_index import ImageIndex
from striate.data.index import scan
from striate.data.loaders import batches
from striate.data.source import PixelSource, to_cut_from
from striate.models import REGISTRY
from striate.models.pixels import default_preprocess
from striate.records.io import to_json
from striate.records.plans import PreviewPlan
from striate.records.recipes import Augment, recipe, title
from striate.report.sheet import Row, sheet
from striate.tasks.classify.task import Classification

_BATCH = 64
_LOOK = Preprocess(size=(16, 16))


def run(
    data: str | Path,
    root: str | Path | None,
    progress: ProgressCallback,
    *,
    preview: PreviewPlan | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Decode every image, and say what is wrong with any of them or with all together.

    Args:
        data: As `data.index.scan` takes it.
        root: As `data.index.scan` takes it.
        progress: Receives progress.
        preview: What to draw beside that; None draws nothing.
        out: Where; None takes ``<data>-<recipe>.png``.

    Returns:
        ``classes`` (name to count), ``images`` (how many), ``issues`` (rows of `records.results.DataIssue`), and
        ``augmented`` (the file) with a preview.

    Raises:
        DataError: The data cannot be trained on at all.
        PlanError: There is no such recipe.
        UnknownModelError: There is no such network.
    """
    varies = None if preview is None else recipe(preview.recipe).augment
    shape = None if preview is None or preview.network is None else REGISTRY.get(preview.network).input
    index = scan(data, root=root)
    task, targets = Classification.read(index)
    hashes = digests(index, progress)
    progress.phase("decoding images", len(index), "image")
    unreadable: dict[int, str] = {}
    done = 0
    for batch in batches(index, range(len(index)), _LOOK, batch=_BATCH):
        unreadable |= batch.failed
        done += len(batch.positions)
        progress.step(done)
    seen = headers(index)
    issues = task.audit(index, targets, hashes, unreadable=unreadable, seen=seen)
    counts = task.counts(targets, {"all": np.arange(len(index))})
    found = {
        "classes": {name: each["all"] for name, each in counts.items()},
        "images": len(index),
        "issues": to_json(issues),
    }
    if preview is None or varies is None:
        return found
    progress.phase("drawing augmented images")
    readable = np.array([p for p in range(len(index)) if p not in unreadable])
    if shape is None:
        side = round(min(seen.middle_side(readable) or preview.side, preview.side))
        shape = (3, side, side)
    path = out or Path(f"{Path(data).name.split('.')[0]}-{title(preview.recipe)}.png")
    write_bytes(path, _drawn(index, task, targets, seen, readable, preview, varies, default_preprocess(shape)))
    progress.step(1)
    return found | {"augmented": str(path)}


def _drawn(
    index: ImageIndex,
    task: Classification,
    targets: np.ndarray,
    seen: Headers,
    readable: np.ndarray,
    preview: PreviewPlan,
    varies: Augment,
    preprocess: Preprocess,
) -> bytes:
    """Some images of each class as they are, and as a training by the recipe would take them in its passes."""
    chosen = _chosen(task, targets, readable, preview)
    cut_from = to_cut_from(preprocess, varies, seen, readable)
    pixels = np.stack([decode(index.read(p), cut_from) for p in chosen])
    labels, places = targets[chosen], np.arange(len(chosen))
    source = PixelSource(
        pixels,
        labels,
        varies,
        seed=preview.seed,
        names=chosen,
        classes=len(task.classes),
        size=preprocess.size,
        proportions=seen.proportions(chosen),
    )
    passes = [source.batch(places, epoch) for epoch in range(preview.passes)]
    rows = [
        Row(
            label=task.classes[labels[place]],
            original=decode(index.read(int(position)), preprocess),
            augmented=[inputs[place].numpy() for inputs, _ in passes],
            captions=[_shares(found[place], task.classes) for _, found in passes if found.is_floating_point()],
        )
        for place, position in enumerate(chosen)
    ]
    height, width = preprocess.size
    shown = len(np.unique(labels))
    of_all = f", {shown} of {len(task.classes)} classes" if shown < len(task.classes) else ""
    about = (
        f"{plural(len(rows), 'image')} at {width} x {height} px{of_all}, augmented as in training, one column per epoch"
    )
    return sheet(title(preview.recipe), [about, _fields(varies)], rows)


def _chosen(task: Classification, targets: np.ndarray, readable: np.ndarray, preview: PreviewPlan) -> np.ndarray:
    """Positions of the images that are drawn, class by class."""
    there = np.unique(targets[readable])
    classes = there[np.unique(np.linspace(0, len(there) - 1, preview.classes).astype(int))]
    each = max(1, preview.rows // len(classes))
    found = []
    for label in classes:
        mine = readable[targets[readable] == label]
        draw = generator(preview.seed, "preview", task.classes[label])
        found.append(np.sort(draw.permutation(mine)[:each]))
    return np.concatenate(found)


def _shares(shares: torch.Tensor, classes: tuple[str, ...]) -> list[str]:
    """What a mixed image counts as: ``70 % rose``, ``30 % tulip``."""
    found = {name: float(share) for name, share in zip(classes, shares, strict=True) if share > 0}
    return [f"{100 * share:.0f} % {name}" for name, share in sorted(found.items(), key=lambda each: -each[1])]


def _fields(varies: Augment) -> str:
    """The fields that differ from their defaults: ``flip, crop 0.08 to 1, erase 0.25``."""
    still, words = asdict(Augment()), []
    for name, value in asdict(varies).items():
        if value == still[name]:
            continue
        if value is True:
            words.append(name)
        elif isinstance(value, tuple):
            joint = " at " if name == "policy" else " to "
            words.append(f"{name} {joint.join(f'{each:g}' for each in value)}")
        else:
            words.append(f"{name} {value if isinstance(value, str) else f'{value:g}'}")
    return ", ".join(words) or "no augmentation"
