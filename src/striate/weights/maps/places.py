"""Where a network's units and layers stand, for maps that count them through."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from striate.models.efficientnet import MBConv
from striate.models.mobilenet_v2 import InvertedResidual
from striate.models.network import ImageModel
from striate.nn.conv import ConvNorm
from striate.weights.maps.rules import Row, Rule


def layers(model: ImageModel) -> list[str]:
    """Dotted paths of the single layers of all stages, in the order in which they run."""
    return [
        f"{stage}.{path}"
        for stage in model.stages
        for path, layer in model.get_submodule(stage).named_modules()
        if path and not list(layer.children())
    ]


def units(model: ImageModel) -> list[tuple[str, nn.Module]]:
    """Dotted paths and modules of the units (``unit1``, ``unit2``, ... of each stage), in order."""
    return [
        (f"{stage}.{name}", unit)
        for stage in model.stages
        for name, unit in model.get_submodule(stage).named_children()
        if name.startswith("unit")
    ]


def features(model: ImageModel) -> list[Row]:
    """Torchvision names the layers of a flat row by place: ``features.N`` is the Nth, activations and pools counted."""
    return [Rule(rf"features\.{index}\.(\w+)", f"{path}.{{1}}") for index, path in enumerate(layers(model))]


def conv_norms(model: ImageModel, within: str = "") -> list[str]:
    """Dotted paths of the normalised convolutions of all stages, in the order in which they were built.

    Args:
        model: The network.
        within: The dotted path of a module that holds them; empty for all stages.
    """
    return [
        path
        for stage in model.stages
        for path, layer in model.get_submodule(stage).named_modules(prefix=stage)
        if isinstance(layer, ConvNorm) and path.startswith(f"{within}." if within else "")
    ]


def rows(model: ImageModel) -> Iterator[tuple[int, int, str, list[str]]]:
    """Row of the paper's table and place in it, both from 0, path and parts of every unit; the first cannot add."""
    row, index = -1, 0
    for path, unit in units(model):
        assert isinstance(unit, MBConv | InvertedResidual)
        row, index = (row, index + 1) if unit.adds else (row + 1, 0)
        yield row, index, f"{path}.residual", [name for name, _ in unit.residual.named_children()]
