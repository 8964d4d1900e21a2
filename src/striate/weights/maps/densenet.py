"""Densely connected networks."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.rules import Row, Rule


def torchvision(model: ImageModel) -> list[Row]:
    """Densely connected networks; the published files say ``norm.1`` where newer ones say ``norm1``."""
    layer, unit = r"features\.denseblock(\d)\.denselayer(\d+)\.", "stage{1}.unit{2}.grow."
    last = model.stages[-1]
    return [
        Rule(r"features\.conv0\.weight", "stem.conv.weight"),
        Rule(r"features\.norm0\.(\w+)", "stem.norm.{1}"),
        Rule(rf"{layer}(norm|conv)\.?(\d)\.(\w+)", f"{unit}{{3}}{{4}}.{{5}}"),
        Rule(r"features\.transition(\d)\.(norm|conv)\.(\w+)", "stage{1+1}.transition.{2}.{3}"),
        Rule(r"features\.norm5\.(\w+)", f"{last}.norm.{{1}}"),
        Rule(r"classifier\.(\w+)", "head.logits.{1}"),
    ]


def of_keras(model: ImageModel) -> list[Row]:
    """Densely connected networks; a unit's normalisations count from 0, its convolutions from 1."""
    layer, unit = r"conv(\d)_block(\d+)_", "stage{1-1}.unit{2}.grow."
    return [
        Rule(r"conv1[_/]conv/kernel", "stem.conv.weight", keras.convolution),
        *keras.norm("conv1[_/]bn", "stem.norm"),
        Rule(rf"{layer}(\d)_conv/kernel", unit + "conv{3}.weight", keras.convolution),
        *keras.norm(rf"{layer}(\d)_bn", unit + "norm{3+1}"),
        Rule(r"pool(\d)_conv/kernel", "stage{1}.transition.conv.weight", keras.convolution),
        *keras.norm(r"pool(\d)_bn", "stage{1}.transition.norm"),
        *keras.norm("bn", f"{model.stages[-1]}.norm"),
        *keras.logits(r"(?:predictions|fc1000)"),
    ]


SOURCES = {"torchvision": torchvision, "timm": torchvision, "keras": of_keras}
