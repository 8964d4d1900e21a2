"""VGG, with and without normalisation."""

from __future__ import annotations

from torch import Tensor

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.places import features
from striate.weights.maps.rules import Move, Row, Rule


def torchvision(model: ImageModel) -> list[Row]:
    """VGG, with and without normalisation."""
    return [
        *features(model),
        Rule(r"classifier\.0\.(\w+)", "head.fc6.0.{1}"),
        Rule(r"classifier\.3\.(\w+)", "head.fc7.0.{1}"),
        Rule(r"classifier\.6\.(\w+)", "head.logits.{1}"),
    ]


def timm(model: ImageModel) -> list[Row]:
    """VGG; its hidden linear layers are convolutions over the whole grid, in the order that ours flatten it."""

    def dense(tensor: Tensor) -> Tensor:
        return tensor.flatten(1) if tensor.ndim == 4 else tensor

    def grid(side: int) -> Move:
        return lambda t: t.reshape(t.shape[0], -1, side, side) if t.ndim == 2 else t

    return [
        *features(model),
        Rule(r"pre_logits\.fc1\.(\w+)", "head.fc6.0.{1}", dense, back=grid(7)),
        Rule(r"pre_logits\.fc2\.(\w+)", "head.fc7.0.{1}", dense, back=grid(1)),
        Rule(r"head\.fc\.(\w+)", "head.logits.{1}"),
    ]


def of_keras(_model: ImageModel) -> list[Row]:
    """VGG without normalisation."""
    return [
        Rule(r"block1_conv(\d)/kernel", "stem.conv{1}.conv.weight", keras.convolution),
        Rule(r"block1_conv(\d)/bias", "stem.conv{1}.conv.bias"),
        Rule(r"block(\d)_conv(\d)/kernel", "stage{1-1}.conv{2}.conv.weight", keras.convolution),
        Rule(r"block(\d)_conv(\d)/bias", "stage{1-1}.conv{2}.conv.bias"),
        keras.flattened(7),
        Rule(r"fc1/bias", "head.fc6.0.bias"),
        Rule(r"fc2/kernel", "head.fc7.0.weight", keras.dense),
        Rule(r"fc2/bias", "head.fc7.0.bias"),
        *keras.logits("predictions"),
    ]


SOURCES = {"torchvision": torchvision, "timm": timm, "keras": of_keras}
