"""timm's names."""

from __future__ import annotations

from torch import Tensor

from striate.models.base import ImageModel
from striate.models.mobilenet_v2 import InvertedResidual
from striate.weights.maps import torchvision
from striate.weights.maps.places import units
from striate.weights.maps.rules import Rule


def vgg(model: ImageModel) -> list[Rule]:
    """VGG; its hidden dense layers are convolutions over the whole grid, in the order that ours flatten it."""

    def dense(tensor: Tensor) -> Tensor:
        return tensor.flatten(1) if tensor.ndim == 4 else tensor

    return [
        *torchvision.features(model),
        Rule(r"pre_logits\.fc1\.(\w+)", "head.fc6.0.{1}", dense),
        Rule(r"pre_logits\.fc2\.(\w+)", "head.fc7.0.{1}", dense),
        Rule(r"head\.fc\.(\w+)", "head.logits.{1}"),
    ]


def mobilenet_v1(model: ImageModel) -> list[Rule]:
    """MobileNet v1; blocks of one resolution share a number, as our stages do."""
    rules = [
        Rule(r"conv_stem\.weight", "stem.conv.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.conv.norm.{1}"),
    ]
    for number, stage in enumerate(model.stages):
        theirs, ours = rf"blocks\.{number}\.(\d+)\.", f"{stage}.unit{{1+1}}."
        rules += [
            Rule(rf"{theirs}conv_dw\.weight", f"{ours}depthwise.conv.weight"),
            Rule(rf"{theirs}bn1\.(\w+)", f"{ours}depthwise.norm.{{2}}"),
            Rule(rf"{theirs}conv_pw\.weight", f"{ours}pointwise.conv.weight"),
            Rule(rf"{theirs}bn2\.(\w+)", f"{ours}pointwise.norm.{{2}}"),
        ]
    return [*rules, Rule(r"classifier\.(\w+)", "head.logits.{1}")]


def mobilenet_v2(model: ImageModel) -> list[Rule]:
    """MobileNet v2; blocks of one row of the paper's table share a number; a row begins with a unit that cannot add."""
    rules = [
        Rule(r"conv_stem\.weight", "stem.conv.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.conv.norm.{1}"),
    ]
    row, index = -1, 0
    for path, unit in units(model):
        assert isinstance(unit, InvertedResidual)
        row, index = (row, index + 1) if unit.adds else (row + 1, 0)
        names = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
        parts = [name for name, _ in unit.residual.named_children()]
        if "expand" not in parts:
            names["project"] = "conv_pw"
        for number, part in enumerate(parts, start=1):
            theirs, ours = rf"blocks\.{row}\.{index}\.", f"{path}.residual.{part}"
            rules.append(Rule(rf"{theirs}{names[part]}\.weight", f"{ours}.conv.weight"))
            rules.append(Rule(rf"{theirs}bn{number}\.(\w+)", f"{ours}.norm.{{1}}"))
    last = f"{model.stages[-1]}.last"
    return [
        *rules,
        Rule(r"conv_head\.weight", f"{last}.conv.weight"),
        Rule(r"bn2\.(\w+)", f"{last}.norm.{{1}}"),
        Rule(r"classifier\.(\w+)", "head.logits.{1}"),
    ]


FAMILIES = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "resnet": torchvision.resnet,
    "vgg": vgg,
}
