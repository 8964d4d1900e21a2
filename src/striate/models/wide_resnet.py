"""Wide residual networks: fewer layers, with many more channels in each.

Source: Zagoruyko and Komodakis 2016, Table 1 (CIFAR; depth is 6 n + 4 for n units a stage) and section 3 (ImageNet).

======  ==========  =================================
stage   output      units (28 layers, 10 times wide)
======  ==========  =================================
stem    32 x 32     3x3 convolution, 16
stage1  32 x 32     4 units, 160
stage2  16 x 16     4 units, 320
stage3  8 x 8       4 units, 640
======  ==========  =================================

The networks for 224 px have the stages of the residual networks there, their bottlenecks twice as wide inside.

Departures: no dropout between the convolutions of a unit, which the paper has in some of its runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from striate.core.paper import Paper
from striate.models.cifar_resnet import CifarResNet
from striate.models.registry import register
from striate.models.resnet import Place, Residual, ResNet, ResNetSpec, Shortcut, make_projection, make_stack
from striate.models.resnet_v2 import PREACTIVATION, OrderedSpec
from striate.nn.conv import make_conv2d

PAPER = Paper(
    authors="Zagoruyko and Komodakis",
    year=2016,
    month=5,
    title="Wide Residual Networks",
    ref="arXiv 1605.07146",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WideBasicSpec:
    """Two 3x3 convolutions, B(3,3), some times as wide as the stage says.

    Args:
        factor: The paper's k.
        shortcut: What stands beside them.
    """

    factor: int
    shortcut: Shortcut = make_projection

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor is at least 1; got {self.factor}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return self.factor

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The two."""
        channels = self.factor * place.width
        return [make_conv2d(place.channels, channels, 3, stride=place.stride), make_conv2d(channels, channels, 3)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WideBottleneckSpec:
    """1x1, 3x3, 1x1 whose inner channels are more than the stage's width.

    Args:
        factor: Inner channels over width.
        shortcut: What stands beside them.
    """

    factor: int
    shortcut: Shortcut = make_projection

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor is at least 1; got {self.factor}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The three."""
        inner = self.factor * place.width
        return [
            make_conv2d(place.channels, inner, 1),
            make_conv2d(inner, inner, 3, stride=place.stride),
            make_conv2d(inner, 4 * place.width, 1),
        ]

    def build(self, place: Place) -> nn.Module:
        """A unit from ``place.channels`` to ``4 * place.width`` channels."""
        return Residual(make_stack(self.convs(place), place.eps), self.shortcut(place, 4 * place.width))


def wide(factor: int) -> OrderedSpec:
    """A wide unit that normalises first, as all of the paper's on CIFAR do."""
    return OrderedSpec(body=WideBasicSpec(factor=factor), order=PREACTIVATION)


IMAGENET = {  # section 3
    "wide_resnet50_2": ResNetSpec(unit=WideBottleneckSpec(factor=2), blocks=(3, 4, 6, 3)),
    "wide_resnet101_2": ResNetSpec(unit=WideBottleneckSpec(factor=2), blocks=(3, 4, 23, 3)),
}
IMAGENET_TINY = ResNetSpec(unit=WideBottleneckSpec(factor=2), blocks=(1, 1, 1, 1), stem_width=4)
CIFAR = {  # Table 4
    "wrn16_4": ResNetSpec(unit=wide(4), blocks=(2, 2, 2), stem_width=16),
    "wrn28_10": ResNetSpec(unit=wide(10), blocks=(4, 4, 4), stem_width=16),
}
CIFAR_TINY = ResNetSpec(unit=wide(2), blocks=(1, 1, 1), stem_width=4)

register(ResNet, IMAGENET, tiny=IMAGENET_TINY, paper=PAPER, input=(3, 224, 224), classes=1000, family=__name__)
register(CifarResNet, CIFAR, tiny=CIFAR_TINY, paper=PAPER, input=(3, 32, 32), classes=10, family=__name__)
