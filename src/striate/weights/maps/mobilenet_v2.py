"""MobileNet v2."""

from __future__ import annotations

from striate.models.base import ImageModel
from striate.models.mobilenet_v2 import InvertedResidual
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.places import units
from striate.weights.maps.rules import Row, Rule


def torchvision(model: ImageModel) -> list[Row]:
    """MobileNet v2; the first unit does not expand, so its parts count from one earlier."""
    rules: list[Row] = [
        Rule(r"features\.0\.0\.weight", "stem.conv.conv.weight"),
        Rule(r"features\.0\.1\.(\w+)", "stem.conv.norm.{1}"),
    ]
    number = 0
    for number, (path, unit) in enumerate(units(model), start=1):
        parts = [name for name, _ in unit.get_submodule("residual").named_children()]
        for index, part in enumerate(parts):
            theirs, ours = rf"features\.{number}\.conv\.", f"{path}.residual.{part}"
            conv, norm = (f"{index}", f"{index + 1}") if part == "project" else (rf"{index}\.0", rf"{index}\.1")
            rules.append(Rule(rf"{theirs}{conv}\.weight", f"{ours}.conv.weight"))
            rules.append(Rule(rf"{theirs}{norm}\.(\w+)", f"{ours}.norm.{{1}}"))
    last = f"{model.stages[-1]}.last"
    return [
        *rules,
        Rule(rf"features\.{number + 1}\.0\.weight", f"{last}.conv.weight"),
        Rule(rf"features\.{number + 1}\.1\.(\w+)", f"{last}.norm.{{1}}"),
        Rule(r"classifier\.1\.(\w+)", "head.logits.{1}"),
    ]


def timm(model: ImageModel) -> list[Row]:
    """MobileNet v2; blocks of one row of the paper's table share a number; a row begins with a unit that cannot add."""
    rules: list[Row] = [
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


def of_keras(model: ImageModel) -> list[Row]:
    """MobileNet v2; units are counted through from 0, the first by another name."""
    rules: list[Row] = [
        Rule(r"Conv1/kernel", "stem.conv.conv.weight", keras.convolution),
        *keras.norm("bn_Conv1", "stem.conv.norm"),
    ]
    for number, (path, unit) in enumerate(units(model)):
        theirs = f"block_{number}_" if number else "expanded_conv_"
        for part, _ in unit.get_submodule("residual").named_children():
            ours, move = f"{path}.residual.{part}", keras.depthwise if part == "depthwise" else keras.convolution
            rules += [
                Rule(f"{theirs}{part}/{keras.KERNEL}", f"{ours}.conv.weight", move),
                *keras.norm(f"{theirs}{part}_BN", f"{ours}.norm"),
            ]
    last = f"{model.stages[-1]}.last"
    return [
        *rules,
        Rule(r"Conv_1/kernel", f"{last}.conv.weight", keras.convolution),
        *keras.norm("Conv_1_bn", f"{last}.norm"),
        *keras.logits("(?:predictions|Logits)"),
    ]


SOURCES = {"torchvision": torchvision, "timm": timm, "keras": of_keras}
