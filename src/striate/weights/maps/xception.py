"""Xception."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.places import conv_norms, units
from striate.weights.maps.rules import Row, Rule


def timm(model: ImageModel) -> list[Row]:
    """Xception; a unit's layers are counted: convolution, normalisation, rectifier, or rectifier first."""
    rules: list[Row] = [
        Rule(r"conv([12])\.weight", "stem.conv{1}.conv.weight"),
        Rule(r"bn([12])\.(\w+)", "stem.conv{1}.norm.{2}"),
    ]
    for number, (path, unit) in enumerate(units(model), start=1):
        parts = [name for name, _ in unit.get_submodule("residual").named_children()]
        for index, part in enumerate(each for each in parts if each.startswith("conv")):
            place, ours = 3 * index + ("act1" in parts), f"{path}.residual.{part}"
            rules += [
                Rule(rf"block{number}\.rep\.{place}\.conv1\.weight", f"{ours}.conv.depthwise.weight"),
                Rule(rf"block{number}\.rep\.{place}\.pointwise\.weight", f"{ours}.conv.pointwise.weight"),
                Rule(rf"block{number}\.rep\.{place + 1}\.(\w+)", f"{ours}.norm.{{1}}"),
            ]
        rules += [
            Rule(rf"block{number}\.skip\.weight", f"{path}.shortcut.conv.weight"),
            Rule(rf"block{number}\.skipbn\.(\w+)", f"{path}.shortcut.norm.{{1}}"),
        ]
    last = f"{model.stages[-1]}.exit{{1-2}}"
    return [
        *rules,
        Rule(r"conv([34])\.conv1\.weight", f"{last}.conv.depthwise.weight"),
        Rule(r"conv([34])\.pointwise\.weight", f"{last}.conv.pointwise.weight"),
        Rule(r"bn([34])\.(\w+)", f"{last}.norm.{{2}}"),
        Rule(r"fc\.(\w+)", "head.logits.{1}"),
    ]


def of_keras(model: ImageModel) -> list[Row]:
    """Xception; the stem is block 1, units are counted on from there, and shortcuts have no names of their own."""
    rules: list[Row] = []
    for part in ("conv1", "conv2"):
        rules.append(Rule(f"block1_{part}/kernel", f"stem.{part}.conv.weight", keras.convolution))
        rules += keras.norm(f"block1_{part}_bn", f"stem.{part}.norm")
    for number, path in enumerate(path for path in conv_norms(model) if path.endswith(".shortcut")):
        rules.append(Rule(f"conv2d_{number}/kernel", f"{path}.conv.weight", keras.convolution))
        rules += keras.norm(f"batch_normalization_{number}", f"{path}.norm")
    blocks = [f"{path}.residual.conv" for path, _ in units(model)] + [f"{model.stages[-1]}.exit"]
    for number, path in enumerate(blocks, start=2):
        theirs, ours = rf"block{number}_sepconv(\d)", f"{path}{{1}}"
        rules += [
            Rule(f"{theirs}/depthwise_kernel", f"{ours}.conv.depthwise.weight", keras.depthwise),
            Rule(f"{theirs}/pointwise_kernel", f"{ours}.conv.pointwise.weight", keras.convolution),
            *keras.norm(f"{theirs}_bn", f"{ours}.norm"),
        ]
    return [*rules, *keras.logits("predictions")]


SOURCES = {"timm": timm, "keras": of_keras}
