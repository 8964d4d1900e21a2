"""Size of a network: parameters, multiply-adds and activation memory, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from striate.core.errors import PlanError
from striate.nn.network import Network
from striate.records.sizes import LayerRow, SizeRecord, SizeTotals, StageRow
from striate.sizing.trace import on_meta, trace


def measure(model: nn.Module, shape: tuple[int, int, int], *, name: str | None = None) -> SizeRecord:
    """Compute the parameters, multiply-adds and activation memory of a network for one image.

    The network runs on the meta device: this takes milliseconds and no memory for any network and any image size, and
    does not change the network.

    Args:
        model: An `ImageModel`, on any device.
        shape: Channels, height and width of the image, in pixels.
        name: Name of the network in the record; None means the name of its class.

    Returns:
        A row for every layer, a row for every stage, and the totals, at batch size 1 and without auxiliary heads.

    Raises:
        InputShapeError: The network does not accept this shape.
        PlanError: The module is not a network of Striate.

    Example:
        >>> from striate.models import REGISTRY
        >>> measure(REGISTRY.get("lenet5").create(), (1, 32, 32)).totals.macs
        416520
    """
    copied = on_meta(model)
    if not isinstance(copied, Network):
        raise PlanError(
            f"{type(model).__name__} is not a network of Striate", hint="use a network from striate.create_model"
        )
    traced = trace(copied, shape, watch=copied.head)
    rows, field = traced.rows, traced.watched
    image_bytes = math.prod(shape) * next((each.element_size() for each in copied.parameters()), 4)
    auxiliary = sum(each.numel() for each in copied.aux.parameters())
    totals = SizeTotals(
        params=sum(each.numel() for each in copied.parameters()) - auxiliary,
        weights=sum(row.weights for row in rows),
        units=sum(row.units for row in rows),
        connections=sum(row.connections for row in rows),
        macs=sum(row.macs for row in rows),
        activation_bytes=image_bytes + sum(row.activation_bytes for row in rows),
        receptive_field=None if field is None else field.size,
        stride=None if field is None else field.stride,
        depth=sum(any(True for _ in each.parameters(recurse=False)) for each in _holders(copied)),
        file_bytes=sum(each.nbytes for module in _holders(copied) for each in _own(module)),
        aux_params=auxiliary,
    )
    return SizeRecord(
        name=name or type(model).__name__,
        input=shape,
        classes=copied.classes,
        totals=totals,
        stages=_by_stage(rows),
        layers=rows,
        note=copied.size_note,
    )


def _holders(model: Network) -> list[nn.Module]:
    """The modules that hold tensors themselves, without auxiliary heads."""
    auxiliary = set(model.aux.modules())
    return [each for each in model.modules() if each not in auxiliary and _own(each)]


def _own(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _by_stage(rows: Sequence[LayerRow]) -> tuple[StageRow, ...]:
    parts: dict[str, list[LayerRow]] = {}
    for row in rows:
        parts.setdefault(row.name.partition(".")[0], []).append(row)
    return tuple(
        StageRow(
            name=name,
            layers=len(part),
            output=part[-1].output,
            params=sum(row.params for row in part),
            weights=sum(row.weights for row in part),
            units=sum(row.units for row in part),
            connections=sum(row.connections for row in part),
            macs=sum(row.macs for row in part),
            activation_bytes=sum(row.activation_bytes for row in part),
            receptive_field=part[-1].receptive_field,
            stride=part[-1].stride,
        )
        for name, part in parts.items()
    )
