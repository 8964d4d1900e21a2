"""NASNet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from striate.models.nasnet import CellRow
from striate.models.network import ImageModel
from striate.weights.maps import keras_layout as keras
from striate.weights.maps.rules import Row, Rule


class _Place(NamedTuple):
    """A cell of ours."""

    path: str
    older: str
    """Path of what prepares its older input; empty for the first cell, which takes it as it is."""
    halves: bool
    """Whether that halves the sides."""
    timm: str
    """What timm calls the cell."""
    keras: str
    """What Keras calls it."""


def _places(model: ImageModel) -> Iterator[_Place]:
    yield _Place("stage1.reduction", "", False, "cell_stem_0", "stem_1")
    # stage1 ends in what the next cell reads of the stem
    yield _Place("stage2.reduction", "stage1.older", True, "cell_stem_1", "stem_2")
    for row, stage in enumerate(model.stages[2:]):
        cells = model.get_submodule(stage)
        assert isinstance(cells, CellRow)
        before = row * len(cells.cells)
        if row:
            path = f"{stage}.reduction"
            yield _Place(path, f"{path}.older", False, f"reduction_cell_{row - 1}", f"reduce_{before}")
        for index in range(len(cells.cells)):
            path, number = f"{stage}.cells.{index}", before + index
            # Keras counts the first of the two reduction cells too
            yield _Place(path, f"{path}.older", not index, f"cell_{number}", f"{number + bool(row)}")


def timm(model: ImageModel) -> list[Row]:
    """NASNet; normal cells are counted through, the first two reduction cells are called stem."""
    rules: list[Row] = [
        Rule(r"conv0\.conv\.weight", "stem.conv.weight"),
        Rule(r"conv0\.bn\.(\w+)", "stem.norm.{1}"),
        Rule(r"last_linear\.(\w+)", "head.logits.{1}"),
    ]
    for place in _places(model):
        cell = rf"{place.timm}\."
        branch, ours = rf"{cell}comb_iter_(\d)_(\w+)\.", f"{place.path}.{{2}}{{1+1}}"
        rules += [
            Rule(rf"{cell}conv_1x1\.conv\.weight", f"{place.path}.newer.1.conv.weight"),
            Rule(rf"{cell}conv_1x1\.bn\.(\w+)", f"{place.path}.newer.1.norm.{{1}}"),
            Rule(rf"{branch}separable_(\d)\.(\w+)_conv2d\.weight", f"{ours}.conv{{3}}.{{4}}.weight"),
            Rule(rf"{branch}bn_sep_(\d)\.(\w+)", f"{ours}.norm{{3}}.{{4}}"),
        ]
        if place.halves:
            rules += [
                Rule(rf"{cell}path_(\d)\.conv\.weight", f"{place.older}.conv{{1}}.weight"),
                Rule(rf"{cell}final_path_bn\.(\w+)", f"{place.older}.norm.{{1}}"),
            ]
        elif place.older:
            rules += [
                Rule(rf"{cell}conv_prev_1x1\.conv\.weight", f"{place.older}.1.conv.weight"),
                Rule(rf"{cell}conv_prev_1x1\.bn\.(\w+)", f"{place.older}.1.norm.{{1}}"),
            ]
    return rules


def of_keras(model: ImageModel) -> list[Row]:
    """NASNet; normal cells are counted through, and so is one of the reduction cells."""
    rules: list[Row] = [
        Rule(r"stem_conv1/kernel", "stem.conv.weight", keras.convolution),
        *keras.norm("stem_bn1", "stem.norm"),
        *keras.logits("predictions"),
    ]
    for place in _places(model):
        name, kind = place.keras, "reduction" if place.path.endswith("reduction") else "normal"
        rules += [
            Rule(rf"{kind}_conv_1_{name}/kernel", f"{place.path}.newer.1.conv.weight", keras.convolution),
            *keras.norm(rf"{kind}_bn_1_{name}", f"{place.path}.newer.1.norm"),
        ]
        if kind == "reduction":  # the fourth pair has nothing to learn; Keras gives its name to the fifth
            rules += _separable(rf"{kind}_(left)4_{name}", f"{place.path}.{{2}}5")
        rules += _separable(rf"{kind}_(left|right)(\d)_{name}", f"{place.path}.{{2}}{{3}}")
        if place.halves:
            rules.append(Rule(rf"adjust_conv_(\d)_{name}/kernel", f"{place.older}.conv{{1}}.weight", keras.convolution))
            rules += keras.norm(rf"adjust_bn_{name}", f"{place.older}.norm")
        elif place.older:
            ours = f"{place.older}.1"
            rules.append(Rule(rf"adjust_conv_projection_{name}/kernel", f"{ours}.conv.weight", keras.convolution))
            rules += keras.norm(rf"adjust_bn_{name}", f"{ours}.norm")
    return rules


def _separable(theirs: str, ours: str) -> list[Row]:
    return [
        Rule(rf"separable_conv_(\d)_{theirs}/depthwise_kernel", f"{ours}.conv{{1}}.depthwise.weight", keras.depthwise),
        Rule(
            rf"separable_conv_(\d)_{theirs}/pointwise_kernel", f"{ours}.conv{{1}}.pointwise.weight", keras.convolution
        ),
        *keras.norm(rf"separable_conv_(\d)_bn_{theirs}", f"{ours}.norm{{1}}"),
    ]


SOURCES = {"timm": timm, "keras": of_keras}
