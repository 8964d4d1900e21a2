"""Residual networks for CIFAR."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps.rules import Row, Rule


def akamaster(_model: ImageModel) -> list[Row]:
    """Residual networks for CIFAR, shortcuts without parameters."""
    return [
        Rule(r"conv1\.weight", "stem.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.norm.{1}"),
        Rule(r"layer(\d)\.(\d+)\.conv(\d)\.weight", "stage{1}.unit{2+1}.residual.conv{3}.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", "stage{1}.unit{2+1}.residual.conv{3}.norm.{4}"),
        Rule(r"linear\.(\w+)", "head.logits.{1}"),
    ]


SOURCES = {"akamaster": akamaster}
