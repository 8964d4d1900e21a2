"""Heads turn the last stage's maps into logits: a sequence of named parts that ends in ``logits``."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.fx import wrap

from striate.core.errors import InputShapeError


def make_logits(width: int, classes: int, like: Tensor) -> nn.Linear:
    """A fresh last layer (Xavier weights, zero biases).

    Args:
        width: Length of its input.
        classes: Length of its output.
        like: It gets the device and the type of this tensor.
    """
    layer = nn.Linear(width, classes, device=like.device, dtype=like.dtype)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@final
class Head(nn.Sequential):
    """A sequence of named parts; the last one is the linear layer ``logits``.

    Shape:
        ``[n, channels, h, w]`` to ``[n, classes]``.
    """

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__(OrderedDict(parts))
        if not isinstance(self[-1], nn.Linear) or next(reversed(parts)) != "logits":
            raise ValueError("the last part of a head must be a linear layer called 'logits'")

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts in order."""
        return tuple(self._modules)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The parts before ``logits`` that hold weights; their outputs are features too (``conv``, ``fc6``)."""
        learning = (name for name, part in self.named_children() if next(part.parameters(), None) is not None)
        return tuple(name for name in learning if name != "logits")

    @property
    def before_pool(self) -> tuple[str, ...]:
        """The hidden parts that still give maps, because they come before ``pool``."""
        names = self.part_names
        return tuple(name for name in self.hidden if "pool" in names and names.index(name) < names.index("pool"))

    def width(self, part: str) -> int:
        """Length (or channels) of the output of one of the `hidden` parts."""
        width = 0
        for layer in self.get_submodule(part).modules():
            if isinstance(layer, nn.LayerNorm):
                width = layer.normalized_shape[0]
            elif isinstance(layer, nn.Linear):
                width = layer.out_features
            elif isinstance(layer, nn.Conv2d):
                width = layer.out_channels
        return width

    @property
    def logits_layer(self) -> nn.Linear:
        """The last part."""
        layer = self[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def run(self, features: Tensor, upto: str | None = None) -> Tensor:
        """Run the parts, all or up to and with the one called `upto`.

        Args:
            features: The last stage's maps, ``[n, channels, h, w]``.
            upto: The last part to run; None runs all.
        """
        if upto is not None and upto not in self._modules:
            raise InputShapeError(f"the head has no part {upto!r}", hint=f"parts: {', '.join(self.part_names)}")
        for name, part in self.named_children():
            features = part(features)
            if name == upto:
                break
        return features

    def upto(self, part: str, classes: int) -> Head:
        """A head of the parts up to and including the hidden part `part` (shared, not copied) and a new ``logits``.

        After a part that gives maps, pooling and dropout are kept too.
        """
        names = self.part_names
        end = names.index(part) + 1
        while part in self.before_pool and names[end] not in (*self.hidden, "logits"):
            end += 1
        kept = {name: self.get_submodule(name) for name in names[:end]}
        return Head(kept | {"logits": make_logits(self.width(part), classes, self.logits_layer.weight)})

    def replace_logits(self, classes: int) -> None:
        """Put a fresh ``logits`` part for another number of classes (Xavier weights, zero biases)."""
        self[len(self) - 1] = make_logits(self.logits_layer.in_features, classes, self.logits_layer.weight)


@final
class AuxHeads(nn.ModuleDict):
    """The auxiliary heads of a network, each under the path of the module whose output it reads (``stage3/unit1``).

    They read the maps of other modules (see `StagedModel.forward_with_aux`). As one step of the network they hand the
    last stage's maps on; in training their parameters then take part in the backward pass without a gradient, so that
    DistributedDataParallel, which waits for every parameter, does not wait for theirs.

    Shape:
        Any to the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Hand the maps on."""
        return _beside(x, *self.parameters()) if self.training else x


class _Beside(torch.autograd.Function):
    """The first input; the others have a place in the graph, and no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *others: Tensor) -> Tensor:
        ctx.others = len(others)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (gradients[0], *[None] * ctx.others)


@wrap
def _beside(x: Tensor, *others: Tensor) -> Tensor:
    return _Beside.apply(x, *others)


def global_pool(side: int = 1) -> nn.Sequential:
    """Average any maps to a grid of `side` x `side` positions, and flatten them.

    Args:
        side: Positions along each side; 1 averages over the whole image.

    Shape:
        ``[n, channels, h, w]`` to ``[n, channels * side * side]``.
    """
    return nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten())


def pooled_head(channels: int, classes: int, *, dropout: float = 0.0, conv: nn.Module | None = None) -> Head:
    """Global average pooling, then ``logits``.

    Args:
        channels: Channels of the maps that are pooled.
        classes: Length of the output.
        dropout: Probability of dropping a pooled feature in training.
        conv: Runs before pooling, on the last stage's maps; None pools these maps themselves.
    """
    parts: dict[str, nn.Module] = {"conv": conv} if conv is not None else {}
    parts["pool"] = global_pool()
    if dropout:
        parts["drop"] = nn.Dropout(dropout)
    return Head(parts | {"logits": nn.Linear(channels, classes)})
