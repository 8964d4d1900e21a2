"""Residual networks, and those whose units alone are other."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps import transformers
from striate.weights.maps.rules import Row, Rule


def torchvision(_model: ImageModel) -> list[Row]:
    """Residual networks; timm's names are the same."""
    return [
        Rule(r"conv1\.weight", "stem.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.norm.{1}"),
        Rule(r"layer(\d)\.(\d+)\.conv(\d)\.weight", "stage{1}.unit{2+1}.residual.conv{3}.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", "stage{1}.unit{2+1}.residual.conv{3}.norm.{4}"),
        Rule(r"layer(\d)\.(\d+)\.downsample\.0\.weight", "stage{1}.unit{2+1}.shortcut.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", "stage{1}.unit{2+1}.shortcut.norm.{3}"),
        Rule(r"(?:head\.)?fc\.(\w+)", "head.logits.{1}"),  # mmpretrain has it beside the backbone
    ]


def of_keras(_model: ImageModel) -> list[Row]:
    """Residual networks with bottlenecks; their convolutions have biases, though a normalisation follows."""
    unit, ours = r"conv(\d)_block(\d+)_", "stage{1-1}.unit{2}."
    main, short = ours + "residual.conv{3}", ours + "shortcut"
    return [
        Rule(r"conv1_conv/kernel", "stem.conv.weight", keras.convolution),
        Rule(r"conv1_conv/bias", "stem.norm.running_mean", subtract=True),
        *keras.norm("conv1_bn", "stem.norm"),
        Rule(unit + r"0_conv/kernel", short + ".conv.weight", keras.convolution),
        Rule(unit + r"0_conv/bias", short + ".norm.running_mean", subtract=True),
        *keras.norm(unit + r"0_bn", short + ".norm"),
        Rule(unit + r"(\d)_conv/kernel", main + ".conv.weight", keras.convolution),
        Rule(unit + r"(\d)_conv/bias", main + ".norm.running_mean", subtract=True),
        *keras.norm(unit + r"(\d)_bn", main + ".norm"),
        *keras.logits(r"(?:predictions|probs|fc1000)"),
    ]


SOURCES = {"torchvision": torchvision, "timm": torchvision, "keras": of_keras, "transformers": transformers.resnet}
