"""The whole bill of a network."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from torch import nn

from striate.core.errors import PlanError
from striate.records.sizes import SizeRecord, SizeTotals
from striate.sizing.trace import on_meta, trace


@runtime_checkable
class Network(Protocol):
    """A network whose head can be told from its stages."""

    head: nn.Module
    aux: nn.ModuleDict
    classes: int


def measure(model: nn.Module, shape: tuple[int, int, int], *, name: str | None = None) -> SizeRecord:
    """Count what a network costs for one picture, layer by layer, without running it on data.

    Takes milliseconds and no memory, whatever the size of the network or of the picture; the network is not changed.

    Args:
        model: An `ImageModel`, on any device.
        shape: Channels, height and width of the picture, in pixels.
        name: What to call the network in the record; None takes its class's name.

    Returns:
        A row for every layer, and the totals; all at batch 1 with auxiliary heads off.

    Raises:
        InputShapeError: The network does not take such a picture.
        PlanError: The network has no head.

    Example:
        >>> from striate.models import REGISTRY
        >>> measure(REGISTRY.get("lenet5").create(), (1, 32, 32)).totals.macs
        416520
    """
    copied = on_meta(model)
    if not isinstance(copied, Network):
        raise PlanError(f"{type(model).__name__} has no head", hint="give a network of striate.models")
    traced = trace(copied, shape, watch=copied.head)
    rows, entered = traced.rows, traced.entered
    picture_bytes = math.prod(shape) * next((each.element_size() for each in copied.parameters()), 4)
    auxiliary = {id(each) for each in copied.aux.parameters()}
    totals = SizeTotals(
        params=sum(each.numel() for each in copied.parameters() if id(each) not in auxiliary),
        weights=sum(row.weights for row in rows),
        units=sum(row.units for row in rows),
        connections=sum(row.connections for row in rows),
        macs=sum(row.macs for row in rows),
        activation_bytes=picture_bytes + sum(row.activation_bytes for row in rows),
        receptive_field=None if entered is None else entered.size,
        stride=None if entered is None else entered.stride,
    )
    return SizeRecord(
        name=name or type(model).__name__, input=shape, classes=copied.classes, totals=totals, layers=rows
    )
