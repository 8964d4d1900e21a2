"""MobileNet v1."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps import transformers
from striate.weights.maps.places import units
from striate.weights.maps.rules import Row, Rule


def timm(model: ImageModel) -> list[Row]:
    """MobileNet v1; blocks of one resolution share a number, as our stages do."""
    rules: list[Row] = [
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


def of_keras(model: ImageModel) -> list[Row]:
    """MobileNet v1; units are counted through, and the classifier is a 1x1 convolution."""
    rules: list[Row] = [
        Rule(r"conv1/kernel", "stem.conv.conv.weight", keras.convolution),
        *keras.norm("conv1_bn", "stem.conv.norm"),
    ]
    for number, (path, _) in enumerate(units(model), start=1):
        rules += [
            Rule(rf"conv_dw_{number}/{keras.KERNEL}", f"{path}.depthwise.conv.weight", keras.depthwise),
            *keras.norm(rf"conv_dw_{number}_bn", f"{path}.depthwise.norm"),
            Rule(rf"conv_pw_{number}/kernel", f"{path}.pointwise.conv.weight", keras.convolution),
            *keras.norm(rf"conv_pw_{number}_bn", f"{path}.pointwise.norm"),
        ]
    return [*rules, *keras.logits("conv_preds")]


SOURCES = {"timm": timm, "keras": of_keras, "transformers": transformers.mobilenet_v1}
