"""Inception-ResNet v2."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.inception_v3 import SCALE
from striate.weights.maps.places import conv_norms, units
from striate.weights.maps.rules import Row, Rule, conv_norm

STEM = {
    "conv2d_1a": "stem.conv1",
    "conv2d_2a": "stem.conv2",
    "conv2d_2b": "stem.conv3",
    "conv2d_3b": "stage1.conv4",
    "conv2d_4a": "stage1.conv5",
}


def timm(model: ImageModel) -> list[Row]:
    """Inception-ResNet v2; a branch of one convolution is that convolution, and the last module stands alone."""
    rules: list[Row] = [row for theirs, ours in STEM.items() for row in conv_norm(theirs, ours)]
    rules += conv_norm(r"mixed_5b\.branch3\.1", "stage2.unit1.branch4.conv1")  # counted after its pool
    for theirs, ours in {"mixed_5b": "stage2.unit1", "mixed_6a": "stage3.unit1", "mixed_7a": "stage4.unit1"}.items():
        rules += conv_norm(rf"{theirs}\.branch(\d)", f"{ours}.branch{{1+1}}.conv1")
        rules += conv_norm(rf"{theirs}\.branch(\d)\.(\d)", f"{ours}.branch{{1+1}}.conv{{2+1}}")
    rules += _residual(r"block8", units(model)[-1][0], groups=0)
    for theirs, stage in {"repeat": "stage2", "repeat_1": "stage3", "repeat_2": "stage4"}.items():
        rules += _residual(rf"{theirs}\.(\d+)", f"{stage}.unit{{1+2}}", groups=1)
    rules += conv_norm("conv2d_7b", f"{model.stages[-1]}.last")
    return [*rules, Rule(r"classif\.(\w+)", "head.logits.{1}")]


def _residual(theirs: str, ours: str, *, groups: int) -> list[Row]:
    """A residual module; `groups` of the pattern's groups are in its name."""
    branch, step = groups + 1, groups + 2
    return [
        *conv_norm(rf"{theirs}\.branch(\d)", f"{ours}.branches.branch{{{branch}+1}}.conv1"),
        *conv_norm(rf"{theirs}\.branch(\d)\.(\d)", f"{ours}.branches.branch{{{branch}+1}}.conv{{{step}+1}}"),
        Rule(rf"{theirs}\.conv2d\.(\w+)", f"{ours}.up.{{{branch}}}"),
    ]


def of_keras(model: ImageModel) -> list[Row]:
    """Inception-ResNet v2; all but the convolutions after the branches are counted through as they were built."""
    *counted, last = conv_norms(model)
    rules: list[Row] = [SCALE]
    for number, path in enumerate(counted):
        rules.append(Rule(f"conv2d_{number}/kernel", f"{path}.conv.weight", keras.convolution))
        rules += keras.norm(f"batch_normalization_{number}", f"{path}.norm")
    for theirs, stage in {"block35": "stage2", "block17": "stage3", "block8": "stage4"}.items():
        rules.append(Rule(rf"{theirs}_(\d+)_conv/kernel", f"{stage}.unit{{1+1}}.up.weight", keras.convolution))
        rules.append(Rule(rf"{theirs}_(\d+)_conv/bias", f"{stage}.unit{{1+1}}.up.bias"))
    rules.append(Rule("conv_7b/kernel", f"{last}.conv.weight", keras.convolution))
    return [*rules, *keras.norm("conv_7b_bn", f"{last}.norm"), *keras.logits("predictions")]


SOURCES = {"timm": timm, "keras": of_keras}
