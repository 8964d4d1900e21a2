"""Says what a network costs, layer by layer."""

from __future__ import annotations

from dataclasses import replace

from striate import models, sizing
from striate.core.cancel import CancelToken
from striate.core.errors import PlanError
from striate.core.events import ProgressCallback
from striate.core.meta import shapes_only
from striate.records.plans import ShowPlan
from striate.records.sizes import SizeRecord
from striate.weights import trained

MOST_CHANNELS, MOST_SIDE_PX, MOST_CLASSES = 2**16, 2**20, 2**20
"""Above these, byte counts of the larger networks no longer fit into 64 bits."""


def run(plan: ShowPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None) -> SizeRecord:
    """Measure a network without running it on data.

    Args:
        plan: The network, its input and its classes.
        progress: Not used: a network of shapes alone is measured at once.
        cancel: Is not asked, for the same reason.

    Raises:
        UnknownModelError: No network has that name.
        CheckpointError: The folder holds no trained network.
        InputShapeError: The network does not take such an image.
        PlanError: A number is below 1 or too large to count with, or the memory is no amount.
    """
    name, classes = plan.name, plan.classes
    found = trained.find(name)
    if found is None:
        trained.require_folder(name)
    entry = models.REGISTRY.get(name if found is None else found.card.network)
    made_for = entry.input if found is None else (found.card.preprocess.in_channels, *found.card.preprocess.size)
    shape = made_for if plan.input is None else plan.input
    if min(shape) < 1:
        raise PlanError(
            f"channels, height and width must be at least 1; got {shape}", hint="give CxHxW, such as 3x224x224"
        )
    if shape[0] > MOST_CHANNELS or max(shape[1:]) > MOST_SIDE_PX or (classes or 0) > MOST_CLASSES:
        raise PlanError(
            f"{'x'.join(map(str, shape))}{f' and {classes} classes' if classes else ''} is too large to count with",
            hint=f"at most {MOST_CHANNELS} channels, {MOST_SIDE_PX} px a side and {MOST_CLASSES} classes",
        )
    with shapes_only():
        if found is None:
            model = entry.create(classes=classes, in_channels=shape[0])
        else:
            model = trained.rebuild(found.card)
            if classes is not None:
                model.replace_head(classes)
    size = sizing.measure(model, shape, name=entry.name)
    return size if plan.memory is None else replace(size, memory=sizing.fits(model, shape, plan.memory))
