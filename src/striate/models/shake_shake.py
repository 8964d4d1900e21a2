"""Shake-shake: two residual branches, mixed with random weights, which differ in the forward and backward pass.

Source: Gastaldi 2017, equations 1 and 2, Figure 1, Table 1 (26 layers; the form that draws for
each image, Shake-Shake-Image).

======  ==========  =============================
stage   output      units (26 layers, 2 x 32)
======  ==========  =============================
stem    32 x 32     3x3 convolution, 16
stage1  32 x 32     4 units, 32
stage2  16 x 16     4 units, 64
stage3  8 x 8       4 units, 128; ReLU
======  ==========  =============================

Departures: none. Units and their two-way shortcut are those of the author's code, for the paper only names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import wrap

from striate.core.paper import Paper
from striate.models.cifar_resnet import CifarResNet
from striate.models.registry import register
from striate.models.resnet import Place, ResNetSpec
from striate.models.resnet_v2 import RELU_FIRST, Body, Layers, OrderedSpec
from striate.models.wide_resnet import WideBasicSpec
from striate.nn.conv import make_conv2d

PAPER = Paper(
    authors="Gastaldi",
    year=2017,
    month=5,
    title="Shake-Shake regularization",
    ref="arXiv 1705.07485",
)


class Mix(torch.autograd.Function):
    """``share * a + (1 - share) * b``, and backwards the same with another share."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, forwards: Tensor, backwards: Tensor) -> Tensor:
        """Equation 2."""
        ctx.save_for_backward(backwards)
        return forwards * a + (1 - forwards) * b

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Figure 1, middle."""
        (gradient,), (share,) = gradients, ctx.saved_tensors
        return share * gradient, (1 - share) * gradient, None, None


@wrap
def mix(a: Tensor, b: Tensor, forwards: Tensor, backwards: Tensor) -> Tensor:
    """`Mix` as one step of a graph that torch.fx records."""
    return Mix.apply(a, b, forwards, backwards)


@final
class Shake(nn.Module):
    """The mean of two functions; in training a random mixture, drawn for each image, forwards and backwards apart.

    Shape:
        ``[n, channels, h, w]`` to what the two make of it.
    """

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one = one
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        a, b = self.one(x), self.other(x)
        if not self.training:
            return 0.5 * (a + b)
        forwards, backwards = (a.new_empty((a.shape[0], 1, 1, 1)).uniform_() for _ in range(2))
        return mix(a, b, forwards, backwards)


@final
class TwoWayShortcut(nn.Module):
    """Two 1x1 convolutions for half of the channels each, the second reading one pixel further down and right.

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, ceil(h / stride), ceil(w / stride)]``.
    """

    def __init__(self, channels: int, width: int, stride: int, eps: float) -> None:
        super().__init__()
        self.conv1 = make_conv2d(channels, width // 2, 1, stride=stride)
        self.conv2 = make_conv2d(channels, width - width // 2, 1, stride=stride)
        self.norm = nn.BatchNorm2d(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Read the maps, and the maps shifted by one, so that a stride of 2 also reads the positions that it skips."""
        shifted = F.pad(x, (-1, 1, -1, 1))
        return self.norm(torch.cat((self.conv1(x), self.conv2(shifted)), 1))


def two_way(place: Place, channels: int, *, normed: bool = True) -> nn.Module:
    """The identity where shapes agree, else the shortcut in two ways, which is always normalised."""
    if place.stride == 1 and place.channels == channels:
        return nn.Identity()
    return TwoWayShortcut(place.channels, channels, place.stride, place.eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShakeShakeUnitSpec:
    """Two residual functions alike beside one shortcut: ReLU, 3x3, norm, ReLU, 3x3, norm.

    Args:
        body: The convolutions of each.
    """

    body: Body

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return self.body.expansion

    def build(self, place: Place) -> nn.Module:
        """The unit for a place."""
        ordered = OrderedSpec(body=self.body, order=RELU_FIRST)

        def pair(place: Place, before: Layers) -> nn.Module:
            return Shake(ordered.residual(place, before), ordered.residual(place, before))

        return ordered.around(pair, place)


def shaken(factor: int) -> ShakeShakeUnitSpec:
    """A unit of two paths, `factor` times as wide as the stage says."""
    return ShakeShakeUnitSpec(body=WideBasicSpec(factor=factor, shortcut=two_way))


VARIANTS = {  # Table 1
    "shake_shake_26": ResNetSpec(unit=shaken(2), blocks=(4, 4, 4), stem_width=16),
    "shake_shake_26_2x64d": ResNetSpec(unit=shaken(4), blocks=(4, 4, 4), stem_width=16),
    "shake_shake_26_2x96d": ResNetSpec(unit=shaken(6), blocks=(4, 4, 4), stem_width=16),
}
ALIASES = {"shake_shake_26_2x32d": "shake_shake_26"}
TINY = ResNetSpec(unit=shaken(2), blocks=(1, 1, 1), stem_width=4)

register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10, aliases=ALIASES, family=__name__)
