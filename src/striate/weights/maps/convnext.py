"""ConvNeXt."""

from __future__ import annotations

from torch import Tensor

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps import transformers
from striate.weights.maps.rules import Row, Rule

WIDEST_OF_CONVOLUTIONS = 80
"""timm's networks up to this width have the linear layers of their blocks as 1x1 convolutions."""
UNIT = "stage{1+1}.unit{2+1}."


def torchvision(model: ImageModel) -> list[Row]:
    """ConvNeXt; what halves the resolution and the blocks behind it take turns in one numbered row."""
    rules: list[Row] = [
        Rule(r"features\.0\.0\.(\w+)", "stem.conv.{1}"),
        Rule(r"features\.0\.1\.(\w+)", "stem.norm.{1}"),
        Rule(r"classifier\.0\.(\w+)", "head.norm.{1}"),
        Rule(r"classifier\.2\.(\w+)", "head.logits.{1}"),
    ]
    parts = {"0": "depthwise", "2": "mlp.norm", "3": "mlp.fc1", "5": "mlp.fc2"}
    for number, stage in enumerate(model.stages[1:]):
        halving, blocks = rf"features\.{2 * number}\.", rf"features\.{2 * number + 1}\.(\d+)\."
        rules += [
            Rule(rf"{halving}0\.(\w+)", f"{stage}.norm.{{1}}"),
            Rule(rf"{halving}1\.(\w+)", f"{stage}.conv.{{1}}"),
            Rule(rf"{blocks}layer_scale", f"{stage}.unit{{1+1}}.mlp.scale.weight", Tensor.flatten, back=_on_maps),
        ]
        for theirs, ours in parts.items():
            rules.append(Rule(rf"{blocks}block\.{theirs}\.(\w+)", f"{stage}.unit{{1+1}}.{ours}.{{2}}"))
    return rules


def timm(model: ImageModel) -> list[Row]:
    """ConvNeXt, either version; where a file has the linear layers as 1x1 convolutions, they lose those two axes."""
    stage, block = r"stages\.(\d)\.", r"stages\.(\d)\.blocks\.(\d+)\."
    back = _on_maps if model.state_dict()["stem.conv.weight"].shape[0] <= WIDEST_OF_CONVOLUTIONS else Tensor.clone
    return [
        Rule(r"stem\.0\.(\w+)", "stem.conv.{1}"),
        Rule(r"stem\.1\.(\w+)", "stem.norm.{1}"),
        Rule(stage + r"downsample\.0\.(\w+)", "stage{1+1}.norm.{2}"),
        Rule(stage + r"downsample\.1\.(\w+)", "stage{1+1}.conv.{2}"),
        Rule(block + r"conv_dw\.(\w+)", UNIT + "depthwise.{3}"),
        Rule(block + r"norm\.(\w+)", UNIT + "mlp.norm.{3}"),
        Rule(block + r"mlp\.(fc\d)\.weight", UNIT + "mlp.{3}.weight", _dense, back=back),
        Rule(block + r"mlp\.(fc\d)\.bias", UNIT + "mlp.{3}.bias"),
        Rule(block + r"mlp\.grn\.(\w+)", UNIT + "mlp.response.{3}"),
        Rule(block + r"gamma", UNIT + "mlp.scale.weight"),
        Rule(r"head\.norm\.(\w+)", "head.norm.{1}"),
        Rule(r"head\.fc\.(\w+)", "head.logits.{1}"),
    ]


def facebook(_model: ImageModel) -> list[Row]:
    """ConvNeXt, either version, by the names of its authors' code."""
    block, halving = r"stages\.(\d)\.(\d+)\.", r"downsample_layers\.([1-9])\."
    return [
        Rule(r"downsample_layers\.0\.0\.(\w+)", "stem.conv.{1}"),
        Rule(r"downsample_layers\.0\.1\.(\w+)", "stem.norm.{1}"),
        Rule(halving + r"0\.(\w+)", "stage{1+1}.norm.{2}"),
        Rule(halving + r"1\.(\w+)", "stage{1+1}.conv.{2}"),
        Rule(block + r"dwconv\.(\w+)", UNIT + "depthwise.{3}"),
        Rule(block + r"norm\.(\w+)", UNIT + "mlp.norm.{3}"),
        Rule(block + r"pwconv(\d)\.(\w+)", UNIT + "mlp.fc{3}.{4}"),
        Rule(block + r"grn\.gamma", UNIT + "mlp.response.weight", Tensor.flatten),
        Rule(block + r"grn\.beta", UNIT + "mlp.response.bias", Tensor.flatten),
        Rule(block + r"gamma", UNIT + "mlp.scale.weight"),
        Rule(r"norm\.(\w+)", "head.norm.{1}"),
        Rule(r"head\.(\w+)", "head.logits.{1}"),
    ]


def _dense(tensor: Tensor) -> Tensor:
    return tensor.flatten(1)


def _on_maps(tensor: Tensor) -> Tensor:
    """The same numbers for maps with the channels first."""
    return tensor[..., None, None]


def of_keras(_model: ImageModel) -> list[Row]:
    """ConvNeXt; layers are named after the network, and each scale's tensor is counted through the file."""
    block = r"convnext_\w+_stage_(\d)_block_(\d+)_"
    halving = r"convnext_\w+_downsampling_block_(\d)"
    return [
        Rule(r"convnext_\w+_stem/kernel", "stem.conv.weight", keras.convolution),
        Rule(r"convnext_\w+_stem/bias", "stem.conv.bias"),
        *_norm(r"convnext_\w+_stem", "stem.norm"),
        Rule(halving + "/kernel", "stage{1+2}.conv.weight", keras.convolution),
        Rule(halving + "/bias", "stage{1+2}.conv.bias"),
        *_norm(halving, "stage{1+2}.norm"),
        Rule(block + "depthwise_conv/kernel", UNIT + "depthwise.weight", keras.convolution),
        Rule(block + "depthwise_conv/bias", UNIT + "depthwise.bias"),
        *_norm(block + "layernorm", UNIT + "mlp.norm"),
        Rule(block + r"pointwise_conv_(\d)/kernel", UNIT + "mlp.fc{3}.weight", keras.dense),
        Rule(block + r"pointwise_conv_(\d)/bias", UNIT + "mlp.fc{3}.bias"),
        Rule(block + r"layer_scale/\w+", UNIT + "mlp.scale.weight"),
        *_norm(r"convnext_\w+_head_layernorm", "head.norm"),
        *keras.logits(r"convnext_\w+_head_dense"),
    ]


def _norm(theirs: str, ours: str) -> list[Row]:
    return [Rule(f"{theirs}/gamma", f"{ours}.weight"), Rule(f"{theirs}/beta", f"{ours}.bias")]


SOURCES = {
    "torchvision": torchvision,
    "timm": timm,
    "keras": of_keras,
    "transformers": transformers.convnext,
    "facebook": facebook,
}
