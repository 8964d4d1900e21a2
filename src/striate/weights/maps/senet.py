"""Squeeze-and-excitation networks."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps.rules import Row, Rule


def timm(_model: ImageModel) -> list[Row]:
    """Timm's ``legacy_*`` networks, which hold the weights that were published with the paper."""
    return [
        Rule(r"layer0\.conv(\d)\.weight", "stem.conv{1}.conv.weight"),
        Rule(r"layer0\.bn(\d)\.(\w+)", "stem.conv{1}.norm.{2}"),
        Rule(r"layer(\d)\.(\d+)\.conv(\d)\.weight", "stage{1}.unit{2+1}.residual.conv{3}.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", "stage{1}.unit{2+1}.residual.conv{3}.norm.{4}"),
        Rule(r"layer(\d)\.(\d+)\.se_module\.(fc\d)\.(\w+)", "stage{1}.unit{2+1}.residual.gate.{3}.{4}"),
        Rule(r"layer(\d)\.(\d+)\.downsample\.0\.weight", "stage{1}.unit{2+1}.shortcut.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", "stage{1}.unit{2+1}.shortcut.norm.{3}"),
        Rule(r"last_linear\.(\w+)", "head.logits.{1}"),
    ]


SOURCES = {"timm": timm}
