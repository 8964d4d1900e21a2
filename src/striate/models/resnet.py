"""Residual networks for 224 px pictures: each unit learns what to add to its input.

Source: He et al. 2015, section 3.3, Table 1 and Figure 5.

======  ==========  =============================  ===========
stage   output      units (50 layers)              paper's name
======  ==========  =============================  ===========
stem    112 x 112   7x7 convolution, 64, stride 2  conv1
stage1  56 x 56     3x3 max pool, 3 units, 256     conv2_x
stage2  28 x 28     4 units, 512                   conv3_x
stage3  14 x 14     6 units, 1024                  conv4_x
stage4  7 x 7       3 units, 2048                  conv5_x
======  ==========  =============================  ===========

Departures: bottlenecks put the stride on their 3x3 convolution, because the weights people load (torchvision's, timm's)
do; ``unit.stride_place = "1x1"`` is the paper's place, which Keras' weights need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, final

from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.base import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="He et al.",
    year=2015,
    month=12,
    title="Deep Residual Learning for Image Recognition",
    ref="arXiv 1512.03385",
)


class Unit(Protocol):
    """A maker of residual units."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        ...

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to ``width * expansion`` channels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """Two 3x3 convolutions (Figure 5, left)."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 1

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to `width` channels."""
        residual = nn.Sequential()
        residual.add_module("conv1", ConvNorm(channels, width, 3, stride=stride, eps=eps))
        residual.add_module("conv2", ConvNorm(width, width, 3, eps=eps, act=None))
        return Residual(residual, projection(channels, width, stride, eps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """1x1 down, 3x3, 1x1 up (Figure 5, right).

    Args:
        stride_place: Which convolution takes the stride.
    """

    stride_place: Literal["1x1", "3x3"] = "3x3"

    def __post_init__(self) -> None:
        if self.stride_place not in ("1x1", "3x3"):
            raise ValueError(f"stride_place is '1x1' or '3x3'; got {self.stride_place!r}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to ``4 * width`` channels."""
        first, second = (stride, 1) if self.stride_place == "1x1" else (1, stride)
        residual = nn.Sequential()
        residual.add_module("conv1", ConvNorm(channels, width, 1, stride=first, eps=eps))
        residual.add_module("conv2", ConvNorm(width, width, 3, stride=second, eps=eps))
        residual.add_module("conv3", ConvNorm(width, 4 * width, 1, eps=eps, act=None))
        return Residual(residual, projection(channels, 4 * width, stride, eps))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetSpec:
    """One row of Table 1.

    Args:
        unit: The maker of residual units.
        blocks: Units a stage.
        stem_width: Channels of the first convolution and width of the first stage.
        eps: Added to the variance by every batch normalisation.
    """

    unit: Unit
    blocks: tuple[int, ...]
    stem_width: int = 64
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 1 or self.stem_width < 1:
            raise ValueError(f"every stage needs a unit and every unit a channel; got {self}")


VARIANTS = {  # Table 1
    "resnet18": ResNetSpec(unit=Basic(), blocks=(2, 2, 2, 2)),
    "resnet34": ResNetSpec(unit=Basic(), blocks=(3, 4, 6, 3)),
    "resnet50": ResNetSpec(unit=Bottleneck(), blocks=(3, 4, 6, 3)),
    "resnet101": ResNetSpec(unit=Bottleneck(), blocks=(3, 4, 23, 3)),
    "resnet152": ResNetSpec(unit=Bottleneck(), blocks=(3, 8, 36, 3)),
}
TINY = ResNetSpec(unit=Bottleneck(), blocks=(1, 1, 1, 1), stem_width=4)


@final
class Residual(nn.Module):
    """The sum of a residual function and a shortcut, rectified (equation 1 and 2).

    Shape:
        ``[n, c, h, w]`` to ``[n, c', h / stride, w / stride]``.
    """

    def __init__(self, residual: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut = shortcut
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the residual, then rectify."""
        return self.act(self.residual(x) + self.shortcut(x))


def projection(channels: int, out_channels: int, stride: int, eps: float) -> nn.Module:
    """The shortcut: the identity where shapes agree, else a strided 1x1 convolution (option B of section 3.3)."""
    if stride == 1 and channels == out_channels:
        return nn.Identity()
    return ConvNorm(channels, out_channels, 1, stride=stride, eps=eps, act=None)


@final
class ResNet(ImageModel):
    """The network of Table 1.

    Args:
        spec: The row of the table.
        classes: Length of the output.
        in_channels: Channels of the pictures.
    """

    def __init__(self, spec: ResNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        width = channels = spec.stem_width
        self.add_stage("stem", ConvNorm(in_channels, width, 7, stride=2, eps=spec.eps), width, stride=2)
        for number, count in enumerate(spec.blocks, start=1):
            stage = nn.Sequential()
            if number == 1:
                stage.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
            for index in range(count):
                stride = 2 if index == 0 and number > 1 else 1
                stage.add_module(f"unit{index + 1}", spec.unit.build(channels, width, stride, spec.eps))
                channels = width * spec.unit.expansion
            self.add_stage(f"stage{number}", stage, channels, stride=2)
            width *= 2
        self.head = pooled_head(channels, classes)
        he(self)


register(ResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
