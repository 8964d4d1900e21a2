"""The stages and layers that have most of a network's units, connections and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from striate.records.sizes import LayerRow, SizeRecord, StageRow

Quantity = Literal["units", "connections", "weights"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest:
    """The stage and the layer with most of one quantity.

    Args:
        quantity: ``units``, ``connections`` or ``weights``.
        total: Total of the network.
        stage: The stage with the largest part.
        stage_fraction: Its fraction of the total, from 0 to 1.
        layer: The layer with the largest part.
        layer_fraction: Its fraction of the total.
        conv_fraction: Fraction of the total in convolutional layers; linear layers have the rest.
    """

    quantity: Quantity
    total: int
    stage: str
    stage_fraction: float
    layer: str
    layer_fraction: float
    conv_fraction: float


def largest(size: SizeRecord) -> tuple[Largest, ...]:
    """The largest stage and layer by units, by connections and by weights.

    Args:
        size: The size of the network.
    """
    return tuple(_largest(size, quantity) for quantity in QUANTITIES)


def of(row: LayerRow | StageRow, quantity: Quantity) -> int:
    """The units, connections or weights of a row."""
    return {"units": row.units, "connections": row.connections, "weights": row.weights}[quantity]


def counted(size: SizeRecord) -> list[LayerRow]:
    """The convolutional and linear layers."""
    return [row for row in size.layers if row.type in ("conv", "linear")]


def _largest(size: SizeRecord, quantity: Quantity) -> Largest:
    def fraction(part: int) -> float:
        return part / max(total, 1)

    layers = counted(size)
    total = sum(of(row, quantity) for row in layers)
    stage = max(size.stages, key=lambda row: of(row, quantity))
    layer = max(layers, key=lambda row: of(row, quantity))
    return Largest(
        quantity=quantity,
        total=total,
        stage=stage.name,
        stage_fraction=fraction(of(stage, quantity)),
        layer=layer.name,
        layer_fraction=fraction(of(layer, quantity)),
        conv_fraction=fraction(sum(of(row, quantity) for row in layers if row.type == "conv")),
    )
