"""MobileNet v2."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps import transformers
from striate.weights.maps.efficientnet import timm
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
    return [
        *rules,
        Rule(rf"features\.{number + 1}\.0\.weight", "head.conv.conv.weight"),
        Rule(rf"features\.{number + 1}\.1\.(\w+)", "head.conv.norm.{1}"),
        Rule(r"classifier\.1\.(\w+)", "head.logits.{1}"),
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
    return [
        *rules,
        Rule(r"Conv_1/kernel", "head.conv.conv.weight", keras.convolution),
        *keras.norm("Conv_1_bn", "head.conv.norm"),
        *keras.logits("(?:predictions|Logits)"),
    ]


SOURCES = {"torchvision": torchvision, "timm": timm, "keras": of_keras, "transformers": transformers.mobilenet_v2}
