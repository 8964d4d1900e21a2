"""Checks the published table of Keras Applications against our own networks, row by row.

Keras counts otherwise than PyTorch: its parameters include the running means and variances of normalisations, its depth
is the number of layers with weights, and its sizes are files in units of 2^20 bytes. All three are computed here from
our networks. Where Keras' network holds other tensors than ours, the row says how, and the difference is computed too:

- ``biases``: a convolution has a bias although a normalisation follows;
- ``no_scale``: normalisations have no scale, since a rectifier follows;
- ``separable``: a depthwise convolution and the pointwise one right after it are one layer;
- ``input_statistics``: mean and variance of each channel and a count are stored in a first layer.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from torch import nn

from striate.core.meta import shapes_only
from striate.models import REGISTRY, StagedModel
from striate.records.io import from_json
from striate.records.sizes import SizeRecord
from striate.sizing import measure

Difference = Literal["biases", "no_scale", "separable", "input_statistics"]

MIB = 2**20
ROUNDING_MIB = 1.0
"""Sizes are printed in whole units, some rounded up."""
CONTAINER_MIB = 10 / 1024
"""What an HDF5 file may add for the names and the bookkeeping of each layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A row of the table as printed.

    Args:
        keras: Its name for the network.
        network: Ours.
        size_mb: Size of the file, called MB.
        top1: Accuracy in percent.
        top5: Accuracy in percent.
        params_m: Parameters in millions.
        depth: Layers with weights.
        differs: How Keras' network differs from ours in what is counted.
    """

    keras: str
    network: str
    size_mb: int
    top1: float
    top5: float
    params_m: float
    depth: int
    differs: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasRow:
    """A row of the table beside what our network counts.

    Args:
        published: As printed.
        params: As Keras counts them; None where the network is missing.
        depth: As Keras counts it.
        size_mib: Of the parameters in float32, in 2^20 bytes.
        wrong: What in the row does not follow from the network, in words; empty where all does.
    """

    published: Published
    params: int | None = None
    depth: int | None = None
    size_mib: float | None = None
    wrong: tuple[str, ...] = ()


def published() -> tuple[Published, ...]:
    """The table as printed."""
    text = (files("striate.jobs") / "keras_table.toml").read_text(encoding="utf-8")
    return tuple(from_json(Published, row) for row in tomllib.loads(text)["row"])


def run() -> list[KerasRow]:
    """Every row of the table, checked."""
    return [_checked(row) for row in published()]


def _checked(row: Published) -> KerasRow:
    if row.network not in REGISTRY:
        return KerasRow(published=row, wrong=(f"there is no network called {row.network} to check it with",))
    with shapes_only():
        model = REGISTRY.get(row.network).create()
    size = measure(model, REGISTRY.get(row.network).input)
    params, depth = _params(row, model, size), _depth(row, model, size)
    size_mib = 4 * params / MIB
    wrong = []
    if round(params / 1e6, 1) != row.params_m:
        wrong.append(f"{row.params_m} M parameters are printed, {params:,} are counted")
    if depth != row.depth:
        wrong.append(f"a depth of {row.depth} is printed, {depth} layers have weights")
    if not size_mib - ROUNDING_MIB <= row.size_mb <= size_mib + ROUNDING_MIB + CONTAINER_MIB * depth:
        wrong.append(f"{row.size_mb} MB are printed, {params:,} numbers of 4 bytes are {size_mib:.1f} MiB")
    return KerasRow(published=row, params=params, depth=depth, size_mib=size_mib, wrong=tuple(wrong))


def _params(row: Published, model: StagedModel, size: SizeRecord) -> int:
    channels = sum(norm.num_features for norm in _norms(model))
    count = size.totals.params + 2 * channels  # the running means and variances
    if "biases" in row.differs:
        count += channels
    if "no_scale" in row.differs:
        count -= channels
    if "input_statistics" in row.differs:
        count += 2 * model.in_channels + 1
    return count


def _depth(row: Published, model: StagedModel, size: SizeRecord) -> int:
    depth = size.totals.depth
    if "separable" in row.differs:
        depth -= _separable_pairs(model, size)
    if "input_statistics" in row.differs:
        depth += 1
    return depth


def _norms(model: StagedModel) -> list[nn.BatchNorm2d]:
    auxiliary = set(model.aux.modules())
    return [each for each in model.modules() if isinstance(each, nn.BatchNorm2d) and each not in auxiliary]


def _separable_pairs(model: StagedModel, size: SizeRecord) -> int:
    modules = dict(model.named_modules())
    pairs = 0
    for first, second in zip(size.layers, size.layers[1:], strict=False):
        deep, point = modules.get(first.name), modules.get(second.name)
        if isinstance(deep, nn.Conv2d) and isinstance(point, nn.Conv2d):
            pairs += deep.groups == deep.in_channels > 1 and point.kernel_size == (1, 1)
    return pairs
