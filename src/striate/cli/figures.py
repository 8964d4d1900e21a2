"""Figures into files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from striate.core.atomic import write_text
from striate.core.errors import PlanError
from striate.records.sizes import SizeRecord
from striate.report import figures


def layers_of(path: Path, size: SizeRecord) -> None:
    """Draw where a network's units, connections and weights sit."""
    write_text(path, figures.layers(size))


def accuracy_against_cost(path: Path, networks: Iterable[tuple[str, int, float | None, int]]) -> None:
    """Draw published accuracy against multiply-adds.

    Args:
        path: The SVG file.
        networks: Name, multiply-adds, published top-1 in percent or None, parameters.

    Raises:
        PlanError: None of the networks has a published accuracy on ImageNet.
    """
    points = [
        figures.Bubble(name=name, cost=macs, top1=top1, params=params)
        for name, macs, top1, params in networks
        if top1 is not None
    ]
    if not points:
        raise PlanError(
            "none of these networks has a published accuracy on ImageNet, so there is nothing to draw",
            hint="striate models shows which have one",
        )
    write_text(path, figures.bubbles(points, axis="multiply-adds for one image", source="ImageNet-1k validation"))
