"""Densely connected networks: each layer reads the feature maps of all layers before it and adds a few channels.

Source: Huang et al. 2016, sections 3 and 4, Table 1; the networks with bottlenecks and compression (BC).

======  ==========  ========================================  ===================
stage   output      layers (121 layers)                       paper's name
======  ==========  ========================================  ===================
stem    112 x 112   7x7 convolution, 64, stride 2             Convolution
stage1  56 x 56     3x3 max pool, 6 units, 256                Pooling, Block (1)
stage2  28 x 28     transition, 12 units, 512                 Block (2)
stage3  14 x 14     transition, 24 units, 1024                Block (3)
stage4  7 x 7       transition, 16 units, 1024                Block (4)
======  ==========  ========================================  ===================

A transition halves channels and sides. The network for CIFAR has a 3x3 convolution without normalisation for a stem, no
pool after it, and three blocks.

Departures: the last stage ends in a normalisation and a rectifier, which Table 1 does not list but the authors'
networks and all published weights have. The dropout of the runs without augmentation is left out. Keras' weights need
``eps=1.001e-5``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, make_conv2d
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="Huang et al.",
    year=2016,
    month=8,
    title="Densely Connected Convolutional Networks",
    ref="arXiv 1608.06993",
)


class StemSpec(Protocol):
    """Spec of what comes before the first unit."""

    @property
    def stride(self) -> int:
        """Of the convolution."""
        ...

    @property
    def pool(self) -> int:
        """Stride of the max pool that begins stage1; 1 for none."""
        ...

    def build(self, in_channels: int, width: int, eps: float) -> nn.Module:
        """From the image to `width` channels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WideStemSpec:
    """A strided 7x7 convolution, for large images (Table 1)."""

    @property
    def stride(self) -> int:
        """Of the convolution."""
        return 2

    @property
    def pool(self) -> int:
        """Stride of the max pool that begins stage1."""
        return 2

    def build(self, in_channels: int, width: int, eps: float) -> nn.Module:
        """From the image to `width` channels."""
        return ConvNorm(in_channels, width, 7, stride=2, eps=eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowStemSpec:
    """A bare 3x3 convolution, for images of 32 px (section 3, implementation details)."""

    @property
    def stride(self) -> int:
        """Of the convolution."""
        return 1

    @property
    def pool(self) -> int:
        """There is none."""
        return 1

    def build(self, in_channels: int, width: int, eps: float) -> nn.Module:
        """From the image to `width` channels; the first unit normalises them."""
        return make_conv2d(in_channels, width, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseNetSpec:
    """One network of Table 1, or of section 4.

    Args:
        blocks: Units a stage.
        growth: Maps that every unit adds, the paper's k.
        stem: Spec of the first convolution.
        stem_width: Its channels.
        bottleneck: Width of a unit's 1x1 convolution over `growth`.
        compression: Share of the channels that a transition keeps, the paper's theta.
        eps: Added to the variance by every batch normalisation.
    """

    blocks: tuple[int, ...]
    growth: int = 32
    stem: StemSpec = WideStemSpec()
    stem_width: int = 64
    bottleneck: int = 4
    compression: float = 0.5
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not self.blocks or min(*self.blocks, self.growth, self.stem_width, self.bottleneck) < 1:
            raise ValueError(f"every stage needs a unit and every unit a channel; got {self}")
        if not 0 < self.compression <= 1:
            raise ValueError(f"compression is above 0 and at most 1; got {self.compression}")


VARIANTS = {  # Table 1
    "densenet121": DenseNetSpec(blocks=(6, 12, 24, 16)),
    "densenet169": DenseNetSpec(blocks=(6, 12, 32, 32)),
    "densenet201": DenseNetSpec(blocks=(6, 12, 48, 32)),
    "densenet161": DenseNetSpec(blocks=(6, 12, 36, 24), growth=48, stem_width=96),
}
CIFAR_VARIANTS = {  # Table 2, DenseNet-BC
    "densenet_bc_100_12": DenseNetSpec(blocks=(16, 16, 16), growth=12, stem=NarrowStemSpec(), stem_width=24),
}
TINY = DenseNetSpec(blocks=(1, 1, 1, 1), growth=4, stem_width=8)
CIFAR_TINY = DenseNetSpec(blocks=(1, 1, 1), growth=4, stem=NarrowStemSpec(), stem_width=8)


@final
class DenseUnit(nn.Module):
    """Few new maps from all maps so far (equation 2), put beside them.

    Shape:
        ``[n, channels, h, w]`` to ``[n, channels + growth, h, w]``.
    """

    def __init__(self, channels: int, *, growth: int, bottleneck: int, eps: float) -> None:
        super().__init__()
        inner = bottleneck * growth
        self.grow = nn.Sequential()
        self.grow.add_module("norm1", nn.BatchNorm2d(channels, eps=eps))
        self.grow.add_module("act1", nn.ReLU(inplace=True))
        self.grow.add_module("conv1", make_conv2d(channels, inner, 1))
        self.grow.add_module("norm2", nn.BatchNorm2d(inner, eps=eps))
        self.grow.add_module("act2", nn.ReLU(inplace=True))
        self.grow.add_module("conv2", make_conv2d(inner, growth, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Figure 1, the arrows into one layer."""
        # copies as many numbers as joining a list before every unit, and sums gradients in far fewer pieces
        return torch.cat((x, self.grow(x)), 1)


def transition(channels: int, width: int, eps: float) -> nn.Sequential:
    """Between blocks: fewer channels by a 1x1 convolution, half the sides by average pooling.

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, floor(h / 2), floor(w / 2)]``.
    """
    layers = nn.Sequential()
    layers.add_module("norm", nn.BatchNorm2d(channels, eps=eps))
    layers.add_module("act", nn.ReLU(inplace=True))
    layers.add_module("conv", make_conv2d(channels, width, 1))
    layers.add_module("pool", nn.AvgPool2d(2))
    return layers


@final
class DenseNet(ImageModel):
    """The network of Table 1.

    Args:
        spec: The row of the table.
    """

    def __init__(self, spec: DenseNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        # stem and pool round up and take an image of any side; what they leave must survive being halved
        halvings = len(spec.blocks) - 1
        least = spec.stem.stride * spec.stem.pool * (2**halvings - 1) + 1
        super().__init__(in_channels=in_channels, classes=classes, min_side=least)
        channels = spec.stem_width
        self.add_stage("stem", spec.stem.build(in_channels, channels, spec.eps), channels, spec.stem.stride)
        for number, count in enumerate(spec.blocks, start=1):
            stage, stride = nn.Sequential(), spec.stem.pool
            if number > 1:
                width, stride = int(channels * spec.compression), 2
                stage.add_module("transition", transition(channels, width, spec.eps))
                channels = width
            elif stride > 1:
                stage.add_module("pool", nn.MaxPool2d(3, stride=stride, padding=1))
            for index in range(count):
                unit = DenseUnit(channels, growth=spec.growth, bottleneck=spec.bottleneck, eps=spec.eps)
                stage.add_module(f"unit{index + 1}", unit)
                channels += spec.growth
            if number == len(spec.blocks):
                stage.add_module("norm", nn.BatchNorm2d(channels, eps=spec.eps))
                stage.add_module("act", nn.ReLU(inplace=True))
            self.add_stage(f"stage{number}", stage, channels, stride)
        self.head = pooled_head(channels, classes)
        he(self)


register(DenseNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
register(DenseNet, CIFAR_VARIANTS, tiny=CIFAR_TINY, paper=PAPER, input=(3, 32, 32), classes=10)
