"""EfficientNet."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps import transformers
from striate.weights.maps.places import rows
from striate.weights.maps.rules import Row, Rule, Skip


def torchvision(model: ImageModel) -> list[Row]:
    """EfficientNet; parts are numbered, and the first unit, which does not expand, has one fewer."""
    rules: list[Row] = [
        Rule(r"features\.0\.0\.weight", "stem.conv.conv.weight"),
        Rule(r"features\.0\.1\.(\w+)", "stem.conv.norm.{1}"),
    ]
    row = 0
    for row, index, path, parts in rows(model):
        for number, part in enumerate(parts):
            theirs, ours = rf"features\.{row + 1}\.{index}\.block\.{number}\.", f"{path}.{part}"
            if part == "gate":
                rules.append(Rule(rf"{theirs}(fc\d)\.(\w+)", f"{ours}.{{1}}.{{2}}"))
            else:
                rules.append(Rule(rf"{theirs}0\.weight", f"{ours}.conv.weight"))
                rules.append(Rule(rf"{theirs}1\.(\w+)", f"{ours}.norm.{{1}}"))
    return [
        *rules,
        Rule(rf"features\.{row + 2}\.0\.weight", "head.conv.conv.weight"),
        Rule(rf"features\.{row + 2}\.1\.(\w+)", "head.conv.norm.{1}"),
        Rule(r"classifier\.1\.(\w+)", "head.logits.{1}"),
    ]


def timm(model: ImageModel) -> list[Row]:
    """EfficientNet and MobileNet v2; a unit that does not expand calls its projection by the other's name."""
    rules: list[Row] = [
        Rule(r"conv_stem\.weight", "stem.conv.conv.weight"),
        Rule(r"bn1\.(\w+)", "stem.conv.norm.{1}"),
    ]
    for row, index, path, parts in rows(model):
        theirs = rf"blocks\.{row}\.{index}\."
        convs = [part for part in parts if part != "gate"]
        names = ["conv_pw", "conv_dw", "conv_pwl"] if "expand" in parts else ["conv_dw", "conv_pw"]
        for number, (part, name) in enumerate(zip(convs, names, strict=True), start=1):
            rules.append(Rule(rf"{theirs}{name}\.weight", f"{path}.{part}.conv.weight"))
            rules.append(Rule(rf"{theirs}bn{number}\.(\w+)", f"{path}.{part}.norm.{{1}}"))
        if "gate" in parts:
            rules.append(Rule(rf"{theirs}se\.conv_reduce\.(\w+)", f"{path}.gate.fc1.{{1}}"))
            rules.append(Rule(rf"{theirs}se\.conv_expand\.(\w+)", f"{path}.gate.fc2.{{1}}"))
    return [
        *rules,
        Rule(r"conv_head\.weight", "head.conv.conv.weight"),
        Rule(r"bn2\.(\w+)", "head.conv.norm.{1}"),
        Rule(r"classifier\.(\w+)", "head.logits.{1}"),
    ]


def of_keras(model: ImageModel) -> list[Row]:
    """EfficientNet; rows are numbered from 1, their units lettered from a."""
    rules: list[Row] = [
        Skip(r"normalization_0/(?:mean|variance|count)", "preprocessing, which stands beside the weights here"),
        Rule(r"stem_conv/kernel", "stem.conv.conv.weight", keras.convolution),
        *keras.norm("stem_bn", "stem.conv.norm"),
    ]
    names = {
        "expand": ("expand_conv", "expand_bn"),
        "depthwise": ("dwconv", "bn"),
        "project": ("project_conv", "project_bn"),
    }
    for row, index, path, parts in rows(model):
        theirs = f"block{row + 1}{chr(ord('a') + index)}_"
        for part in parts:
            if part == "gate":
                continue
            conv, norm = names[part]
            move = keras.depthwise if part == "depthwise" else keras.convolution
            rules.append(Rule(f"{theirs}{conv}/{keras.KERNEL}", f"{path}.{part}.conv.weight", move))
            rules += keras.norm(f"{theirs}{norm}", f"{path}.{part}.norm")
        for name, layer in {"se_reduce": "fc1", "se_expand": "fc2"}.items():
            rules.append(Rule(f"{theirs}{name}/kernel", f"{path}.gate.{layer}.weight", keras.convolution))
            rules.append(Rule(f"{theirs}{name}/bias", f"{path}.gate.{layer}.bias"))
    return [
        *rules,
        Rule(r"top_conv/kernel", "head.conv.conv.weight", keras.convolution),
        *keras.norm("top_bn", "head.conv.norm"),
        *keras.logits("(?:predictions|probs)"),
    ]


SOURCES = {"torchvision": torchvision, "timm": timm, "keras": of_keras, "transformers": transformers.efficientnet}
