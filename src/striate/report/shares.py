"""Where in a network its units, connections and weights sit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from striate.records.sizes import LayerRow, SizeRecord, StageRow

Quantity = Literal["units", "connections", "weights"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where most of one quantity sits.

    Args:
        quantity: ``units``, ``connections`` or ``weights``.
        total: In the whole network.
        stage: The stage that has most of it.
        stage_share: Of the total, from 0 to 1.
        layer: The layer that has most of it.
        layer_share: Of the total.
        conv_share: What convolutions have of the total; linear layers have the rest.
    """

    quantity: Quantity
    total: int
    stage: str
    stage_share: float
    layer: str
    layer_share: float
    conv_share: float


def whereabouts(size: SizeRecord) -> tuple[Whereabouts, ...]:
    """Where most units, connections and weights of a network are.

    Args:
        size: What the network costs.
    """
    return tuple(_whereabouts(size, quantity) for quantity in QUANTITIES)


def of(row: LayerRow | StageRow, quantity: Quantity) -> int:
    """A row's units, connections or weights."""
    return {"units": row.units, "connections": row.connections, "weights": row.weights}[quantity]


def counted(size: SizeRecord) -> list[LayerRow]:
    """The layers that have units: convolutions and linear layers."""
    return [row for row in size.layers if row.type in ("conv", "linear")]


def _whereabouts(size: SizeRecord, quantity: Quantity) -> Whereabouts:
    def share(part: int) -> float:
        return part / max(total, 1)

    layers = counted(size)
    total = sum(of(row, quantity) for row in layers)
    stage = max(size.stages, key=lambda row: of(row, quantity))
    layer = max(layers, key=lambda row: of(row, quantity))
    return Whereabouts(
        quantity=quantity,
        total=total,
        stage=stage.name,
        stage_share=share(of(stage, quantity)),
        layer=layer.name,
        layer_share=share(of(layer, quantity)),
        conv_share=share(sum(of(row, quantity) for row in layers if row.type == "conv")),
    )
