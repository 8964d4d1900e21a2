"""Residual networks for 224 px images: each block learns what to add to its input.

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
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, make_conv2d
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="He et al.",
    year=2015,
    month=12,
    title="Deep Residual Learning for Image Recognition",
    ref="arXiv 1512.03385",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a unit stands in its network.

    Args:
        channels: Channels in.
        width: Of the stage; a unit gives `width` times its expansion channels.
        stride: How much the unit reduces the resolution.
        eps: Added to the variance by every batch normalisation.
        index: Number of the unit in the whole network, from 1.
        total: Units in the whole network.
    """

    channels: int
    width: int
    stride: int = 1
    eps: float = 1e-5
    index: int = 1
    total: int = 1


class Shortcut(Protocol):
    """Builds the shortcut of a residual block."""

    def __call__(self, place: Place, channels: int, *, normed: bool = True) -> nn.Module:
        """From ``place.channels`` to `channels`; `normed` is whether its convolution, if it has one, is normalised."""
        ...


class UnitSpec(Protocol):
    """Spec of a unit."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        ...

    def build(self, place: Place) -> nn.Module:
        """The unit for a place."""
        ...


def make_projection(place: Place, channels: int, *, normed: bool = True) -> nn.Module:
    """The identity where shapes agree, else a strided 1x1 convolution (option B of section 3.3)."""
    if place.stride == 1 and place.channels == channels:
        return nn.Identity()
    if not normed:
        return make_conv2d(place.channels, channels, 1, stride=place.stride)
    return ConvNorm(place.channels, channels, 1, stride=place.stride, eps=place.eps, act=None)


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
        return self.act(self.residual(x).add_(self.shortcut(x)))  # in place: a fresh sum costs a fortieth of the pass


def make_stack(convs: list[nn.Conv2d], eps: float, *, last: type[nn.ReLU] | None = None) -> nn.Sequential:
    """Convolutions, each normalised and rectified, but for what follows the last normalisation.

    Args:
        convs: The convolutions, in order.
        eps: Added to the variance by every batch normalisation.
        last: The activation at the end; None for none, as before a sum.
    """
    row = nn.Sequential()
    for number, conv in enumerate(convs, start=1):
        part = sequence(conv=conv, norm=nn.BatchNorm2d(conv.out_channels, eps=eps))
        act = nn.ReLU if number < len(convs) else last
        if act:
            part.add_module("act", act(inplace=True))
        row.add_module(f"conv{number}", part)
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicSpec:
    """Spec of `BasicBlock`.

    Args:
        shortcut: Builds the shortcut.
    """

    shortcut: Shortcut = make_projection

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 1

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The two."""
        first = make_conv2d(place.channels, place.width, 3, stride=place.stride)
        return [first, make_conv2d(place.width, place.width, 3)]

    def build(self, place: Place) -> nn.Module:
        """A unit from ``place.channels`` to ``place.width`` channels."""
        return BasicBlock(place, shortcut=self.shortcut)


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleneckSpec:
    """Spec of `Bottleneck`.

    Args:
        stride_place: Which convolution has the stride.
        shortcut: Builds the shortcut.
    """

    stride_place: Literal["1x1", "3x3"] = "3x3"
    shortcut: Shortcut = make_projection

    def __post_init__(self) -> None:
        if self.stride_place not in ("1x1", "3x3"):
            raise ValueError(f"stride_place is '1x1' or '3x3'; got {self.stride_place!r}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The three."""
        first, second = (place.stride, 1) if self.stride_place == "1x1" else (1, place.stride)
        return [
            make_conv2d(place.channels, place.width, 1, stride=first),
            make_conv2d(place.width, place.width, 3, stride=second),
            make_conv2d(place.width, 4 * place.width, 1),
        ]

    def build(self, place: Place) -> nn.Module:
        """A unit from ``place.channels`` to ``4 * place.width`` channels."""
        return Bottleneck(place, stride_place=self.stride_place, shortcut=self.shortcut)


@final
class BasicBlock(Residual):
    """Two 3x3 convolutions and a shortcut (Figure 5, left).

    Args:
        place: Where the block stands; its output has ``place.width`` channels.
        shortcut: Builds the shortcut.
    """

    def __init__(self, place: Place, *, shortcut: Shortcut = make_projection) -> None:
        convs = BasicSpec(shortcut=shortcut).convs(place)
        super().__init__(make_stack(convs, place.eps), shortcut(place, place.width))


@final
class Bottleneck(Residual):
    """1x1 down, 3x3, 1x1 up, and a shortcut (Figure 5, right).

    Args:
        place: Where the block stands; its output has ``4 * place.width`` channels.
        stride_place: Which convolution has the stride, ``"1x1"`` or ``"3x3"``.
        shortcut: Builds the shortcut.
    """

    def __init__(
        self, place: Place, *, stride_place: Literal["1x1", "3x3"] = "3x3", shortcut: Shortcut = make_projection
    ) -> None:
        convs = BottleneckSpec(stride_place=stride_place, shortcut=shortcut).convs(place)
        super().__init__(make_stack(convs, place.eps), shortcut(place, 4 * place.width))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetSpec:
    """Unit and depth of a residual network.

    Args:
        unit: Spec of the residual units.
        blocks: Units a stage.
        stem_width: Channels of the first convolution and width of the first stage.
        eps: Added to the variance by every batch normalisation.
    """

    unit: UnitSpec
    blocks: tuple[int, ...]
    stem_width: int = 64
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 1 or self.stem_width < 1:
            raise ValueError(f"every stage needs a unit and every unit a channel; got {self}")


VARIANTS = {  # Table 1
    "resnet18": ResNetSpec(unit=BasicSpec(), blocks=(2, 2, 2, 2)),
    "resnet34": ResNetSpec(unit=BasicSpec(), blocks=(3, 4, 6, 3)),
    "resnet50": ResNetSpec(unit=BottleneckSpec(), blocks=(3, 4, 6, 3)),
    "resnet101": ResNetSpec(unit=BottleneckSpec(), blocks=(3, 4, 23, 3)),
    "resnet152": ResNetSpec(unit=BottleneckSpec(), blocks=(3, 8, 36, 3)),
}
TINY = ResNetSpec(unit=BottleneckSpec(), blocks=(1, 1, 1, 1), stem_width=4)


def unit_places(
    unit: UnitSpec, blocks: tuple[int, ...], width: int, eps: float, channels: int | None = None
) -> list[list[Place]]:
    """Where every unit stands, stage by stage: from one stage to the next the width doubles and the sides halve.

    Args:
        unit: Spec of all units.
        blocks: Units a stage.
        width: Of the first stage.
        eps: Added to the variance by every batch normalisation.
        channels: What comes into the first stage; None takes `width`.

    Example:
        >>> [[place.stride for place in row] for row in unit_places(BasicSpec(), (2, 2), 16, 1e-5)]
        [[1, 1], [2, 1]]
    """
    rows: list[list[Place]] = []
    channels, index = width if channels is None else channels, 0
    for count in blocks:
        rows.append([])
        for _ in range(count):
            stride = 2 if index and not rows[-1] else 1
            index += 1
            place = Place(channels=channels, width=width, stride=stride, eps=eps, index=index, total=sum(blocks))
            rows[-1].append(place)
            channels = width * unit.expansion
        width *= 2
    return rows


def units(unit: UnitSpec, row: list[Place]) -> dict[str, nn.Module]:
    """The units of one stage by name: ``unit1``, ``unit2``, ..."""
    return {f"unit{number}": unit.build(place) for number, place in enumerate(row, start=1)}


@final
class ResNet(ImageModel):
    """The network of Table 1.

    Args:
        spec: The row of the table.
    """

    def __init__(self, spec: ResNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        channels = spec.stem_width
        self.add_stage("stem", ConvNorm(in_channels, channels, 7, stride=2, eps=spec.eps), channels, stride=2)
        for number, row in enumerate(unit_places(spec.unit, spec.blocks, channels, spec.eps), start=1):
            pool = {"pool": nn.MaxPool2d(3, stride=2, padding=1)} if number == 1 else {}
            channels = row[0].width * spec.unit.expansion
            self.add_stage(f"stage{number}", sequence(**pool, **units(spec.unit, row)), channels, stride=2)
        self.head = pooled_head(channels, classes)
        he(self)


register(ResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
