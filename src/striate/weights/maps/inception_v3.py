"""Inception v3."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.places import conv_norms, units
from striate.weights.maps.rules import Constant, Row, Rule, Skip, conv_norm

STEM = {
    "Conv2d_1a_3x3": "stem.conv1",
    "Conv2d_2a_3x3": "stem.conv2",
    "Conv2d_2b_3x3": "stem.conv3",
    "Conv2d_3b_1x1": "stage1.conv4",
    "Conv2d_4a_3x3": "stage1.conv5",
}
DOUBLE = tuple(f"branch3x3dbl_{number}" for number in (1, 2, 3))
SEVEN = tuple(f"branch7x7_{number}" for number in (1, 2, 3))
DOUBLE_SEVEN = tuple(f"branch7x7dbl_{number}" for number in (1, 2, 3, 4, 5))
THREE_SEVEN = tuple(f"branch7x7x3_{number}" for number in (1, 2, 3, 4))
CONVOLUTIONS = {  # of a module, in the order of the branches, by the beginning of its name
    "Mixed_5": ("branch1x1", "branch5x5_1", "branch5x5_2", *DOUBLE, "branch_pool"),
    "Mixed_6a": ("branch3x3", *DOUBLE),
    "Mixed_6": ("branch1x1", *SEVEN, *DOUBLE_SEVEN, "branch_pool"),
    "Mixed_7a": ("branch3x3_1", "branch3x3_2", *THREE_SEVEN),
    "Mixed_7": (
        *("branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b"),
        *("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "branch3x3dbl_3b"),
        "branch_pool",
    ),
}
SCALE = Constant(r"(?!aux\.).+\.norm\.weight", 1.0, "the file's normalisations do not scale")


def torchvision(model: ImageModel) -> list[Row]:
    """Inception v3; timm's names are the same. Modules are 5b to 5d, 6a to 6e and 7a to 7c."""
    rules: list[Row] = [row for theirs, ours in STEM.items() for row in conv_norm(theirs, ours)]
    for path, _ in units(model):
        stage, unit = (int(number) for number in path.removeprefix("stage").split(".unit"))
        theirs = f"Mixed_{stage + 3}{'abcdef'[unit - 1 if stage > 2 else unit]}"
        names = next(names for beginning, names in CONVOLUTIONS.items() if theirs.startswith(beginning))
        # where a spec has other modules, the names that are left over are reported like any others
        for name, ours in zip(names, conv_norms(model, path), strict=False):
            rules += conv_norm(rf"{theirs}\.{name}", ours)
    for tap in model.aux:
        rules += [
            *conv_norm(r"AuxLogits\.conv([01])", f"aux.{tap}.conv{{1+1}}"),
            Rule(r"AuxLogits\.fc\.(\w+)", f"aux.{tap}.logits.{{1}}"),
        ]
    if not model.aux:
        rules.append(Skip(r"AuxLogits\..+", "the network has no auxiliary heads"))
    return [*rules, Rule(r"fc\.(\w+)", "head.logits.{1}")]


def of_keras(model: ImageModel) -> list[Row]:
    """Inception v3; layers are counted through in the order in which they were built."""
    rules: list[Row] = [SCALE]
    for number, path in enumerate(conv_norms(model)):
        rules.append(Rule(f"conv2d_{number}/kernel", f"{path}.conv.weight", keras.convolution))
        rules += keras.norm(f"batch_normalization_{number}", f"{path}.norm")
    return [*rules, *keras.logits("predictions")]


SOURCES = {"torchvision": torchvision, "timm": torchvision, "keras": of_keras}
