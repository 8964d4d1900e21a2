"""Squeeze-and-excitation networks: residual networks whose channels are rescaled by a gate that reads the whole image.

Source: Hu et al. 2017, Table 1 (middle column); SENet-154 in the appendix.

======  ==========  ======================================  ==============
stage   output      units (50 layers)                       paper's name
======  ==========  ======================================  ==============
stem    112 x 112   7x7 convolution, 64, stride 2           conv
stage1  56 x 56     3x3 max pool, 3 units, 256              conv2_x
stage2  28 x 28     4 units, 512                            conv3_x
stage3  14 x 14     6 units, 1024                           conv4_x
stage4  7 x 7       3 units, 2048                           conv5_x
======  ==========  ======================================  ==============

Every unit's residual passes a gate before the sum. Departures: none; stride place and pool are those of the published
Caffe weights. ``unit.body.stride_place = "3x3"`` and ``pool = "padded"`` give the form that later trainings prefer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.models.resnet import (
    BottleneckSpec,
    Place,
    Residual,
    Shortcut,
    UnitSpec,
    make_projection,
    make_stack,
    unit_places,
    units,
)
from striate.models.resnet_v2 import Body
from striate.nn.conv import ConvNorm, make_conv2d
from striate.nn.gate import SqueezeExcite
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.pool import CeilMaxPool2d
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Hu et al.",
    year=2017,
    month=9,
    title="Squeeze-and-Excitation Networks",
    ref="arXiv 1709.01507",
)


def wide_projection(place: Place, channels: int, *, normed: bool = True) -> nn.Module:
    """A 3x3 convolution where resolution falls, else as in the residual networks."""
    if place.stride == 1:
        return make_projection(place, channels, normed=normed)
    return ConvNorm(place.channels, channels, 3, stride=place.stride, eps=place.eps, act=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """The convolutions of SENet-154: 1x1 to twice the width, 3x3 in groups to four times, 1x1.

    Args:
        groups: Groups of the 3x3 convolution.
        shortcut: What stands beside them.
    """

    groups: int = 64
    shortcut: Shortcut = wide_projection

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ValueError(f"a convolution has at least 1 group; got {self.groups}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The three."""
        return [
            make_conv2d(place.channels, 2 * place.width, 1),
            make_conv2d(2 * place.width, 4 * place.width, 3, stride=place.stride, groups=self.groups),
            make_conv2d(4 * place.width, 4 * place.width, 1),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedSpec:
    """A residual unit whose maps pass a gate before the sum (Figure 3). It serves in every residual network.

    Args:
        body: Spec of its convolutions.
        reduction: Channels over the gate's inner width, r.
    """

    body: Body
    reduction: int = 16

    def __post_init__(self) -> None:
        if self.reduction < 1:
            raise ValueError(f"a gate's reduction is at least 1; got {self.reduction}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return self.body.expansion

    def build(self, place: Place) -> nn.Module:
        """The unit for a place."""
        channels = self.expansion * place.width
        residual = make_stack(self.body.convs(place), place.eps)
        residual.add_module("gate", SqueezeExcite(channels, max(1, channels // self.reduction)))
        return Residual(residual, self.body.shortcut(place, channels))


@dataclass(frozen=True, slots=True, kw_only=True)
class SENetSpec:
    """One network of the paper.

    Args:
        unit: Spec of the residual units.
        blocks: Units a stage.
        width: Width of the first stage's units; it doubles from stage to stage.
        stem: Kernel and channels of the convolutions before the first pool; the first of them has stride 2.
        pool: The 3x3 pool after the stem: ``"ceil"`` keeps an incomplete window at the end (Caffe), ``"padded"``
            pads a position on both sides (PyTorch's residual networks).
        dropout: Chance that a pooled feature is dropped in training.
        eps: Added to the variance by every batch normalisation.
    """

    unit: UnitSpec
    blocks: tuple[int, ...]
    width: int = 64
    stem: tuple[tuple[int, int], ...] = ((7, 64),)
    pool: Literal["ceil", "padded"] = "ceil"
    dropout: float = 0.0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not self.blocks or not self.stem or min(*self.blocks, self.width, *map(min, self.stem)) < 1:
            raise ValueError(f"every stage needs a unit and every convolution a channel; got {self}")
        if self.pool not in ("ceil", "padded"):
            raise ValueError(f"pool is 'ceil' or 'padded'; got {self.pool!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and below 1; got {self.dropout}")


THREE = ((3, 64), (3, 64), (3, 128))

VARIANTS = {
    "se_resnet50": SENetSpec(unit=GatedSpec(body=BottleneckSpec(stride_place="1x1")), blocks=(3, 4, 6, 3)),
    "senet154": SENetSpec(unit=GatedSpec(body=Grouped()), blocks=(3, 8, 36, 3), stem=THREE, dropout=0.2),
}
TINY = SENetSpec(
    unit=GatedSpec(body=Grouped(groups=4), reduction=4), blocks=(1, 1, 1, 1), width=4, stem=((3, 4), (3, 6))
)


@final
class SENet(ImageModel):
    """A residual network of gated units.

    Args:
        spec: Units, depth, stem and pool.
    """

    def __init__(self, spec: SENetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=3 if spec.pool == "ceil" else 1)
        stem, channels = nn.Sequential(), in_channels
        for number, (kernel, width) in enumerate(spec.stem, start=1):
            stride = 2 if number == 1 else 1
            stem.add_module(f"conv{number}", ConvNorm(channels, width, kernel, stride=stride, eps=spec.eps))
            channels = width
        self.add_stage("stem", stem, channels, stride=2)
        ceil = spec.pool == "ceil"
        pool = {"pool": CeilMaxPool2d(3, 2) if ceil else nn.MaxPool2d(3, stride=2, padding=1)}
        for number, row in enumerate(unit_places(spec.unit, spec.blocks, spec.width, spec.eps, channels), start=1):
            channels = row[0].width * spec.unit.expansion
            layers = (pool if number == 1 else {}) | units(spec.unit, row)
            self.add_stage(f"stage{number}", sequence(**layers), channels, stride=2)
        self.head = pooled_head(channels, classes, dropout=spec.dropout)
        he(self)


register(
    SENet,
    VARIANTS,
    tiny=TINY,
    paper=PAPER,
    input=(3, 224, 224),
    classes=1000,
    aliases={"legacy_seresnet50": "se_resnet50", "legacy_senet154": "senet154"},
)
