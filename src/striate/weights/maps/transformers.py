"""Names of Hugging Face's transformers, with or without the network's own name in front."""

from __future__ import annotations

import re

from torch import Tensor

from striate.models.network import ImageModel
from striate.weights.maps.places import rows, units
from striate.weights.maps.rules import Row, Rule


def resnet(_model: ImageModel) -> list[Row]:
    """Residual networks."""
    unit, ours = r"(?:resnet\.)?encoder\.stages\.(\d)\.layers\.(\d+)\.", "stage{1+1}.unit{2+1}."
    return [
        *_conv_norm(r"(?:resnet\.)?embedder\.embedder", "stem"),
        *_conv_norm(unit + "shortcut", ours + "shortcut"),
        *_conv_norm(unit + r"layer\.(\d)", ours + "residual.conv{3+1}"),
        Rule(r"classifier\.1\.(\w+)", "head.logits.{1}"),
    ]


def convnext(_model: ImageModel) -> list[Row]:
    """ConvNeXt, either version."""
    own = r"(?:convnext(?:v2)?\.)?"
    stage = own + r"encoder\.stages\.(\d)\."
    block, ours = stage + r"layers\.(\d+)\.", "stage{1+1}.unit{2+1}."
    return [
        Rule(own + r"embeddings\.patch_embeddings\.(\w+)", "stem.conv.{1}"),
        Rule(own + r"embeddings\.layernorm\.(\w+)", "stem.norm.{1}"),
        Rule(stage + r"downsampling_layer\.0\.(\w+)", "stage{1+1}.norm.{2}"),
        Rule(stage + r"downsampling_layer\.1\.(\w+)", "stage{1+1}.conv.{2}"),
        Rule(block + r"dwconv\.(\w+)", ours + "depthwise.{3}"),
        Rule(block + r"layernorm\.(\w+)", ours + "mlp.norm.{3}"),
        Rule(block + r"pwconv(\d)\.(\w+)", ours + "mlp.fc{3}.{4}"),
        Rule(block + r"grn\.(\w+)", ours + "mlp.response.{3}", _flat),
        Rule(block + "layer_scale_parameter", ours + "mlp.scale.weight"),
        Rule(own + r"layernorm\.(\w+)", "head.norm.{1}"),
        Rule(r"classifier\.(\w+)", "head.logits.{1}"),
    ]


def mobilenet_v1(model: ImageModel) -> list[Row]:
    """MobileNet v1; depthwise and pointwise layers take turns in one numbered row."""
    own = r"(?:mobilenet_v1\.)?"
    rules = _conv_norm(own + "conv_stem", "stem.conv")
    for number, (path, _) in enumerate(units(model)):
        rules += _conv_norm(own + rf"layer\.{2 * number}", f"{path}.depthwise")
        rules += _conv_norm(own + rf"layer\.{2 * number + 1}", f"{path}.pointwise")
    return [*rules, Rule(r"classifier\.(\w+)", "head.logits.{1}")]


def mobilenet_v2(model: ImageModel) -> list[Row]:
    """MobileNet v2; the first unit is part of the stem."""
    own = r"(?:mobilenet_v2\.)?"
    names = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}
    rules = _conv_norm(own + r"conv_stem\.first_conv", "stem.conv")
    for number, (path, unit) in enumerate(units(model)):
        theirs = own + (rf"layer\.{number - 1}\." if number else r"conv_stem\.")
        for part, _ in unit.get_submodule("residual").named_children():
            rules += _conv_norm(theirs + names[part], f"{path}.residual.{part}")
    return [*rules, *_conv_norm(own + "conv_1x1", "head.conv"), Rule(r"classifier\.(\w+)", "head.logits.{1}")]


def efficientnet(model: ImageModel) -> list[Row]:
    """EfficientNet; units are counted through."""
    own = r"(?:efficientnet\.)?"
    rules: list[Row] = [
        Rule(own + r"embeddings\.convolution\.weight", "stem.conv.conv.weight"),
        Rule(own + r"embeddings\.batchnorm\.(\w+)", "stem.conv.norm.{1}"),
    ]
    names = {
        "expand": (r"expansion\.expand_conv", r"expansion\.expand_bn"),
        "depthwise": (r"depthwise_conv\.depthwise_conv", r"depthwise_conv\.depthwise_norm"),
        "project": (r"projection\.project_conv", r"projection\.project_bn"),
    }
    for number, (_, _, path, parts) in enumerate(rows(model)):
        theirs = own + rf"encoder\.blocks\.{number}\."
        for part in parts:
            if part == "gate":
                rules.append(Rule(theirs + r"squeeze_excite\.reduce\.(\w+)", f"{path}.gate.fc1.{{1}}"))
                rules.append(Rule(theirs + r"squeeze_excite\.expand\.(\w+)", f"{path}.gate.fc2.{{1}}"))
            else:
                conv, norm = names[part]
                rules.append(Rule(rf"{theirs}{conv}\.weight", f"{path}.{part}.conv.weight"))
                rules.append(Rule(rf"{theirs}{norm}\.(\w+)", f"{path}.{part}.norm.{{1}}"))
    return [
        *rules,
        Rule(own + r"encoder\.top_conv\.weight", "head.conv.conv.weight"),
        Rule(own + r"encoder\.top_bn\.(\w+)", "head.conv.norm.{1}"),
        Rule(r"classifier\.(\w+)", "head.logits.{1}"),
    ]


def _conv_norm(theirs: str, ours: str) -> list[Row]:
    """A convolution and its normalisation."""
    last = re.compile(theirs).groups + 1
    return [
        Rule(rf"{theirs}\.convolution\.weight", f"{ours}.conv.weight"),
        Rule(rf"{theirs}\.normalization\.(\w+)", f"{ours}.norm.{{{last}}}"),
    ]


def _flat(tensor: Tensor) -> Tensor:
    return tensor.flatten()


LIKE = {"mobilenet_v1": "keras", "mobilenet_v2": "keras", "efficientnet": "keras"}
"""Families whose files were converted from TensorFlow: their preprocessing is that of Keras' entries."""
OPTIONS = {
    "mobilenet_v1": {"eps": 1e-3, "stem_padding": "same", "padding": "same"},
    "mobilenet_v2": {"eps": 1e-3, "padding": "same"},
    "efficientnet": {"eps": 1e-3, "padding": "same"},
}
"""Fields of the spec that these files need, as transformers' own code has them."""
