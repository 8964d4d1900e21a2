"""Draws a sheet of images as a training by a recipe would augment them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch

from striate.core.preprocess import Preprocess
from striate.core.seed import generator
from striate.core.words import plural
from striate.data.decode import decode
from striate.data.headers import Headers
from striate.data.source import to_cut_from
from striate.data.split import Strata
from striate.jobs.dataset import Labelled
from striate.records.plans import PreviewPlan
from striate.records.recipes import Augment, title
from striate.report.sheet import Row, sheet


def drawn(
    data: Labelled, seen: Headers, readable: np.ndarray, plan: PreviewPlan, varies: Augment, preprocess: Preprocess
) -> bytes:
    """Some images of each class as they are, and as a training by the recipe would take them in its passes.

    Args:
        data: The images.
        seen: What their headers say.
        readable: Positions of the images that can be read.
        plan: Which images are drawn, and how often.
        varies: How the recipe augments them.
        preprocess: How they are decoded.

    Returns:
        A PNG file.
    """
    index, every = data.index, np.zeros(len(data.index), dtype=np.int64)
    strata = data.task.strata(data.targets) or Strata(every, ("",))
    chosen = _chosen(strata, readable, plan)
    cut_from = to_cut_from(preprocess, varies, seen, readable)
    source = data.task.source(
        np.stack([decode(index.read(p), cut_from) for p in chosen]),
        data.targets[chosen],
        varies,
        seed=plan.seed,
        names=chosen,
        size=preprocess.size,
        proportions=seen.proportions(chosen),
    )
    passes = [source.batch(np.arange(len(chosen)), epoch) for epoch in range(plan.passes)]
    mixes = bool(varies.mixup or varies.cutmix)
    rows = [
        Row(
            label=strata.names[strata.numbers[position]],
            original=decode(index.read(int(position)), preprocess),
            augmented=[inputs[place].numpy() for inputs, _ in passes],
            captions=[
                _shares(found[place], strata.names) for _, found in passes if mixes and found.is_floating_point()
            ],
        )
        for place, position in enumerate(chosen)
    ]
    height, width = preprocess.size
    shown, known = len(np.unique(strata.numbers[chosen])), len(strata.names)
    of_all = f", {shown} of {known} classes" if shown < known else ""
    about = (
        f"{plural(len(rows), 'image')} at {width} x {height} px{of_all}, augmented as in training, one column per epoch"
    )
    return sheet(title(plan.recipe), [about, _fields(varies)], rows)


def _chosen(strata: Strata, readable: np.ndarray, plan: PreviewPlan) -> np.ndarray:
    """Positions of the images that are drawn, class by class."""
    there = np.unique(strata.numbers[readable])
    classes = there[np.unique(np.linspace(0, len(there) - 1, plan.classes).astype(int))]
    each = max(1, plan.rows // len(classes))
    found = []
    for label in classes:
        mine = readable[strata.numbers[readable] == label]
        draw = generator(plan.seed, "preview", strata.names[label])
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
