"""Keras' layouts: names are ``layer/weight``, kernels end in their output, and images end in their channels."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from striate.weights.maps.rules import Row, Rule

KERNEL = r"(?:depthwise_)?kernel"  # Keras 2 and 3 name a depthwise kernel differently
_COUNTED = re.compile(
    r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|layer_normalization|normalization|dense)(?:_(\d+))?"
)


def convolution(tensor: Tensor) -> Tensor:
    """``[h, w, in, out]`` to ``[out, in, h, w]``."""
    return tensor.permute(3, 2, 0, 1)


def depthwise(tensor: Tensor) -> Tensor:
    """``[h, w, channels, multiplier]`` to ``[channels * multiplier, 1, h, w]``."""
    h, w, channels, multiplier = tensor.shape
    return tensor.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, h, w)


def dense(tensor: Tensor) -> Tensor:
    """``[in, out]`` to ``[out, in]``; a 1x1 convolution is a linear layer too."""
    return tensor.flatten(0, -2).t()


def flattened(side: int) -> Rule:
    """The first linear layer after a grid of `side` x `side`, which Keras flattens with the channels last."""

    def move(tensor: Tensor) -> Tensor:
        channels = tensor.shape[0] // side**2
        return tensor.reshape(side, side, channels, -1).permute(3, 2, 0, 1).flatten(1)

    return Rule(r"fc1/kernel", "head.fc6.0.weight", move)


def norm(theirs: str, ours: str) -> list[Row]:
    """A batch normalisation."""
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return [Rule(f"{theirs}/{name}", f"{ours}.{our_name}") for name, our_name in names.items()]


def logits(theirs: str) -> list[Row]:
    """The classifier."""
    return [Rule(f"{theirs}/kernel", "head.logits.weight", dense), Rule(f"{theirs}/bias", "head.logits.bias")]


def renumbered(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, layers without names of their own counted from 0 (``conv2d_0``, ``conv2d_1``, ...).

    Keras counts such layers through a whole process, from ``conv2d`` on, so a file may begin at any number.
    Files whose layers all have names are left alone; done twice, nothing more happens.
    """
    numbers: dict[str, set[int]] = {}
    for name in state:
        match = _COUNTED.fullmatch(name.split("/")[0])
        if match:
            numbers.setdefault(match[1], set()).add(int(match[2] or 0))
    ranks = {kind: {number: rank for rank, number in enumerate(sorted(found))} for kind, found in numbers.items()}
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        layer, _, weight = name.partition("/")
        match = _COUNTED.fullmatch(layer)
        result[f"{match[1]}_{ranks[match[1]][int(match[2] or 0)]}/{weight}" if match else name] = tensor
    return result
