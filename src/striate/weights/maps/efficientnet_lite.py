"""EfficientNet-Lite."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps.efficientnet import timm
from striate.weights.maps.places import units
from striate.weights.maps.rules import Row, Rule

PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def lukemelas(model: ImageModel) -> list[Row]:
    """EfficientNet-Lite; units are counted through from 0, and every part has a name of its own."""
    rules: list[Row] = [
        Rule(r"_conv_stem\.weight", "stem.conv.conv.weight"),
        Rule(r"_bn0\.(\w+)", "stem.conv.norm.{1}"),
    ]
    for number, (path, unit) in enumerate(units(model)):
        for part, _ in unit.get_submodule("residual").named_children():
            conv, norm = PARTS[part]
            rules.append(Rule(rf"_blocks\.{number}\.{conv}\.weight", f"{path}.residual.{part}.conv.weight"))
            rules.append(Rule(rf"_blocks\.{number}\.{norm}\.(\w+)", f"{path}.residual.{part}.norm.{{1}}"))
    return [
        *rules,
        Rule(r"_conv_head\.weight", "head.conv.conv.weight"),
        Rule(r"_bn1\.(\w+)", "head.conv.norm.{1}"),
        Rule(r"_fc\.(\w+)", "head.logits.{1}"),
    ]


SOURCES = {"timm": timm, "lukemelas": lukemelas}
