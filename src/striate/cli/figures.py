"""Charts that commands save to files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from striate.core.atomic import write_text
from striate.core.errors import PlanError
from striate.records.sizes import SizeRecord
from striate.report import figures


def layers_of(path: Path, size: SizeRecord) -> None:
    """Save a chart of a network's units, connections and weights per layer."""
    write_text(path, figures.layers(size))


def accuracy_against_cost(path: Path, networks: Iterable[tuple[str, str, int, float | None, int]]) -> None:
    """Save a chart of published accuracy against multiply-adds.

    Args:
        path: The SVG file.
        networks: Name, family, multiply-adds, published top-1 accuracy in percent or None, number of parameters.

    Raises:
        PlanError: None of the networks has a published accuracy on ImageNet.
    """
    points = [
        figures.Bubble(name=name, family=family, cost=macs, top1=top1, params=params)
        for name, family, macs, top1, params in networks
        if top1 is not None
    ]
    if not points:
        raise PlanError(
            "none of these networks has a published accuracy on ImageNet, so there is nothing to draw",
            hint="run `striate models` to see which networks have one",
        )
    write_text(path, figures.bubbles(points, axis="multiply-adds per image", source="ImageNet-1k validation"))
