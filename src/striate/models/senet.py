"""Squeeze-and-excitation networks: residual units whose maps are weighed by what the whole picture holds.

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
Caffe weights. ``unit.stride_place = "3x3"`` and ``pool = "padded"`` give the form that later trainings prefer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, final

from torch import nn

from striate.core.paper import Paper
from striate.models.base import ImageModel
from striate.models.registry import register
from striate.models.resnet import Residual
from striate.nn.conv import ConvNorm
from striate.nn.gate import SqueezeExcite
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Hu et al.",
    year=2017,
    month=9,
    title="Squeeze-and-Excitation Networks",
    ref="arXiv 1709.01507",
)


class GatedUnit(Protocol):
    """A maker of residual units that end in a gate."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        ...

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to ``width * expansion`` channels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedBottleneck:
    """1x1 down, 3x3, 1x1 up, then the gate (Figure 3).

    Args:
        stride_place: Which convolution takes the stride.
        reduction: Channels over the gate's inner width, r.
    """

    stride_place: Literal["1x1", "3x3"] = "1x1"
    reduction: int = 16

    def __post_init__(self) -> None:
        if self.stride_place not in ("1x1", "3x3"):
            raise ValueError(f"stride_place is '1x1' or '3x3'; got {self.stride_place!r}")
        if self.reduction < 1:
            raise ValueError(f"a gate's reduction is at least 1; got {self.reduction}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to ``4 * width`` channels."""
        first, second = (stride, 1) if self.stride_place == "1x1" else (1, stride)
        residual = sequence(
            conv1=ConvNorm(channels, width, 1, stride=first, eps=eps),
            conv2=ConvNorm(width, width, 3, stride=second, eps=eps),
            conv3=ConvNorm(width, 4 * width, 1, eps=eps, act=None),
            gate=SqueezeExcite(4 * width, max(1, 4 * width // self.reduction)),
        )
        return Residual(residual, shortcut(channels, 4 * width, 1, stride, eps))


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedGroups:
    """SENet-154's unit: twice the width into a 3x3 convolution in groups, and a 3x3 shortcut where resolution falls.

    Args:
        groups: Groups of the 3x3 convolution.
        reduction: Channels over the gate's inner width, r.
    """

    groups: int = 64
    reduction: int = 16

    def __post_init__(self) -> None:
        if min(self.groups, self.reduction) < 1:
            raise ValueError(f"groups and reduction are at least 1; got {self}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to ``4 * width`` channels."""
        residual = sequence(
            conv1=ConvNorm(channels, 2 * width, 1, eps=eps),
            conv2=ConvNorm(2 * width, 4 * width, 3, stride=stride, groups=self.groups, eps=eps),
            conv3=ConvNorm(4 * width, 4 * width, 1, eps=eps, act=None),
            gate=SqueezeExcite(4 * width, max(1, 4 * width // self.reduction)),
        )
        return Residual(residual, shortcut(channels, 4 * width, 1 if stride == 1 else 3, stride, eps))


@dataclass(frozen=True, slots=True, kw_only=True)
class SENetSpec:
    """One network of the paper.

    Args:
        unit: The maker of residual units.
        blocks: Units a stage.
        width: Width of the first stage's units; it doubles from stage to stage.
        stem: Kernel and channels of the convolutions before the first pool; the first of them has stride 2.
        pool: The 3x3 pool after the stem: ``"ceil"`` keeps an incomplete window at the end (Caffe), ``"padded"``
            pads a position on both sides (PyTorch's residual networks).
        dropout: Chance that a pooled feature is dropped in training.
        eps: Added to the variance by every batch normalisation.
    """

    unit: GatedUnit
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
    "se_resnet50": SENetSpec(unit=GatedBottleneck(), blocks=(3, 4, 6, 3)),
    "senet154": SENetSpec(unit=GatedGroups(), blocks=(3, 8, 36, 3), stem=THREE, dropout=0.2),
}
TINY = SENetSpec(unit=GatedGroups(groups=4, reduction=4), blocks=(1, 1, 1, 1), width=4, stem=((3, 4), (3, 6)))


def shortcut(channels: int, out_channels: int, kernel: int, stride: int, eps: float) -> nn.Module:
    """The identity where shapes agree, else a strided convolution."""
    if stride == 1 and channels == out_channels:
        return nn.Identity()
    return ConvNorm(channels, out_channels, kernel, stride=stride, eps=eps, act=None)


@final
class SENet(ImageModel):
    """A residual network of gated units.

    Args:
        spec: Units, depth, stem and pool.
        classes: Length of the output.
        in_channels: Channels of the pictures.
    """

    def __init__(self, spec: SENetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=3 if spec.pool == "ceil" else 1)
        stem, channels = nn.Sequential(), in_channels
        for number, (kernel, width) in enumerate(spec.stem, start=1):
            stride = 2 if number == 1 else 1
            stem.add_module(f"conv{number}", ConvNorm(channels, width, kernel, stride=stride, eps=spec.eps))
            channels = width
        self.add_stage("stem", stem, channels, stride=2)
        width = spec.width
        for number, count in enumerate(spec.blocks, start=1):
            stage = nn.Sequential()
            if number == 1:
                ceil = spec.pool == "ceil"
                stage.add_module("pool", nn.MaxPool2d(3, stride=2, padding=0 if ceil else 1, ceil_mode=ceil))
            for index in range(count):
                stride = 2 if index == 0 and number > 1 else 1
                stage.add_module(f"unit{index + 1}", spec.unit.build(channels, width, stride, spec.eps))
                channels = width * spec.unit.expansion
            self.add_stage(f"stage{number}", stage, channels, stride=2)
            width *= 2
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
