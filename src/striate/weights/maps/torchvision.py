"""torchvision's names. Its feature extractors are flat rows, so layers are matched by their position."""

from __future__ import annotations

from striate.models.base import ImageModel
from striate.weights.maps.places import layers, units
from striate.weights.maps.rules import Rule


def resnet(_model: ImageModel) -> list[Rule]:
    """Residual networks; timm's names are the same."""
    return [
        Rule(r"conv1\.weight", "stem.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.norm.{1}"),
        Rule(r"layer(\d)\.(\d+)\.conv(\d)\.weight", "stage{1}.unit{2+1}.residual.conv{3}.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", "stage{1}.unit{2+1}.residual.conv{3}.norm.{4}"),
        Rule(r"layer(\d)\.(\d+)\.downsample\.0\.weight", "stage{1}.unit{2+1}.shortcut.conv.weight"),
        Rule(r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", "stage{1}.unit{2+1}.shortcut.norm.{3}"),
        Rule(r"fc\.(\w+)", "head.logits.{1}"),
    ]


def alexnet(model: ImageModel) -> list[Rule]:
    """One-tower AlexNet."""
    return [
        *features(model),
        Rule(r"classifier\.1\.(\w+)", "head.fc6.0.{1}"),
        Rule(r"classifier\.4\.(\w+)", "head.fc7.0.{1}"),
        Rule(r"classifier\.6\.(\w+)", "head.logits.{1}"),
    ]


def vgg(model: ImageModel) -> list[Rule]:
    """VGG, with and without normalisation."""
    return [
        *features(model),
        Rule(r"classifier\.0\.(\w+)", "head.fc6.0.{1}"),
        Rule(r"classifier\.3\.(\w+)", "head.fc7.0.{1}"),
        Rule(r"classifier\.6\.(\w+)", "head.logits.{1}"),
    ]


def mobilenet_v2(model: ImageModel) -> list[Rule]:
    """MobileNet v2; the first unit does not expand, so its parts count from one earlier."""
    rules = [
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


def features(model: ImageModel) -> list[Rule]:
    """``features.N`` is the network's Nth layer, activations and pools counted."""
    return [Rule(rf"features\.{index}\.(\w+)", f"{path}.{{1}}") for index, path in enumerate(layers(model))]


FAMILIES = {"alexnet": alexnet, "mobilenet_v2": mobilenet_v2, "resnet": resnet, "vgg": vgg}
