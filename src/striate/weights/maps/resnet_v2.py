"""Residual networks that normalise first."""

from __future__ import annotations

from torch import nn

from striate.models.network import ImageModel
from striate.models.resnet_v2 import OrderedResidual
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.places import units
from striate.weights.maps.rules import Row, Rule


def of_keras(model: ImageModel) -> list[Row]:
    """Blocks are counted by width, and a width begins with a unit that projects."""
    rules: list[Row] = [
        Rule(r"conv1_conv/kernel", "stem.conv.weight", keras.convolution),
        Rule(r"conv1_conv/bias", "stem.conv.bias"),
    ]
    group, block, path = 1, 0, ""
    for path, unit in units(model):
        assert isinstance(unit, OrderedResidual)
        projects = isinstance(unit.shortcut, nn.Conv2d)
        group, block = (group + 1, 1) if projects else (group, block + 1)
        theirs, short, main = f"conv{group}_block{block}_", f"{path}.shortcut", f"{path}.residual"
        before = f"{path}.before" if projects else f"{main}.before"
        if path == "stage1.unit1":  # its layers stand by themselves, after the pool
            before = "stage1.before"
        rules += [
            *keras.norm(theirs + "preact_bn", before + ".norm"),
            Rule(theirs + r"0_conv/kernel", short + ".weight", keras.convolution),
            Rule(theirs + r"0_conv/bias", short + ".bias"),
            Rule(theirs + r"(\d)_conv/kernel", main + ".conv{1}.conv.weight", keras.convolution),
            Rule(theirs + r"(\d)_conv/bias", main + ".conv{1}.conv.bias"),
            *keras.norm(theirs + r"(\d)_bn", main + ".conv{1}.norm"),
        ]
    return [*rules, *keras.norm("post_bn", f"{path}.joined.norm"), *keras.logits("(?:predictions|probs)")]


SOURCES = {"keras": of_keras}
