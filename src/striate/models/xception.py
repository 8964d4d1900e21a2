"""Xception: depthwise separable convolutions replace inception modules, so that every channel has its own branch.

Source: Chollet 2016, Figure 5.

======  ==========  ==============================================================================
stage   output      layers
======  ==========  ==============================================================================
stem    147 x 147   3x3 convolutions, 32 (stride 2), 64
stage1  74 x 74     1 unit of 2 separable convolutions that ends in a pool, 128
stage2  37 x 37     1 such unit, 256
stage3  19 x 19     1 such unit, 728; 8 units of 3 separable convolutions (the middle flow)
stage4  10 x 10     1 unit of 2 that ends in a pool, 1024; separable convolutions, 1536 and 2048
======  ==========  ==============================================================================

Departures: none by default, which is the function of the author's weights (Keras'). timm's file holds the same
weights, trained with these max pools and this eps, although timm runs it with ``pool_padding="symmetric", eps=1e-5``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, SeparableConv
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.pool import PoolPadding, check_pool_padding, max_pool2d
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Chollet",
    year=2016,
    month=10,
    title="Xception: Deep Learning with Depthwise Separable Convolutions",
    ref="arXiv 1610.02357",
)


class Unit(NamedTuple):
    """A box of Figure 5."""

    widths: tuple[int, ...]
    """Channels out of every separable convolution."""
    stride: int = 1
    """2 for a unit that ends in a pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XceptionSpec:
    """The network of Figure 5.

    Args:
        stem: Channels of the two plain convolutions.
        units: All units in order; one with stride 2 begins a stage.
        exit: Channels of the separable convolutions after the last unit.
        pool_padding: How max pools pad.
        eps: Added to the variance by every batch normalisation.
        dropout: Chance that a pooled feature is dropped in training (section 4.4).
    """

    stem: tuple[int, int] = (32, 64)
    units: tuple[Unit, ...] = (
        Unit((128, 128), 2),
        Unit((256, 256), 2),
        Unit((728, 728), 2),
        *(Unit((728, 728, 728)),) * 8,
        Unit((728, 1024), 2),
    )
    exit: tuple[int, ...] = (1536, 2048)
    pool_padding: PoolPadding = "same"
    eps: float = 1e-3
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_pool_padding(self.pool_padding)
        if len(self.stem) != 2 or not self.exit or not self.units or self.units[0].stride != 2:
            raise ValueError(
                f"two convolutions, units beginning with a stride of 2, and an exit are needed; got {self}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and below 1; got {self.dropout}")


VARIANTS = {"xception": XceptionSpec()}
ALIASES = {"legacy_xception": "xception"}
TINY = XceptionSpec(
    stem=(4, 4),
    units=(Unit((6, 6), 2), Unit((6, 6), 2), Unit((6, 6), 2), Unit((6, 6)), Unit((6, 8), 2)),
    exit=(16,),
)


@final
class SeparableUnit(nn.Module):
    """Rectified separable convolutions with a shortcut around them, linear at the end.

    Args:
        channels: Channels in.
        unit: Widths and stride.
        rectified: Whether a rectifier comes first; the first unit's input is rectified already.
        padding: How the max pool pads.
        eps: Added to the variance by every batch normalisation.

    Shape:
        ``[n, channels, h, w]`` to ``[n, unit.widths[-1], h / stride, w / stride]``.
    """

    def __init__(self, channels: int, unit: Unit, *, rectified: bool, padding: PoolPadding, eps: float) -> None:
        super().__init__()
        self.residual = nn.Sequential()
        width = channels
        for number, out in enumerate(unit.widths, start=1):
            if rectified or number > 1:
                # what comes in goes into the shortcut too, so only later maps may be written over
                self.residual.add_module(f"act{number}", nn.ReLU(inplace=number > 1))
            self.residual.add_module(f"conv{number}", make_separable(width, out, eps))
            width = out
        if unit.stride > 1:
            self.residual.add_module("pool", max_pool2d(3, stride=unit.stride, padding=padding))
        self.shortcut: nn.Module = nn.Identity()
        if unit.stride > 1 or width != channels:
            self.shortcut = ConvNorm(channels, width, 1, stride=unit.stride, eps=eps, act=None)

    def forward(self, x: Tensor) -> Tensor:
        """A box of Figure 5."""
        return self.residual(x) + self.shortcut(x)


def make_separable(channels: int, width: int, eps: float) -> nn.Sequential:
    """A separable convolution, normalised."""
    return sequence(conv=SeparableConv(channels, width, 3), norm=nn.BatchNorm2d(width, eps=eps))


@final
class Xception(ImageModel):
    """The network of Figure 5.

    Args:
        spec: Units, padding and eps.
    """

    def __init__(self, spec: XceptionSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        # the stem's two convolutions of 3x3 are not padded: 7 px leave one position, and all else is padded
        super().__init__(in_channels=in_channels, classes=classes, min_side=7)
        w1, channels = spec.stem
        stage = sequence(
            conv1=ConvNorm(in_channels, w1, 3, stride=2, padding="valid", eps=spec.eps),
            conv2=ConvNorm(w1, channels, 3, padding="valid", eps=spec.eps),
        )
        name, stride, units = "stem", 2, 0
        for index, unit in enumerate(spec.units):
            if unit.stride > 1:
                self.add_stage(name, stage, channels, stride=stride)
                name, stride, units = f"stage{len(self.stages)}", unit.stride, 0
                stage = nn.Sequential()
            units += 1
            built = SeparableUnit(channels, unit, rectified=index > 0, padding=spec.pool_padding, eps=spec.eps)
            stage.add_module(f"unit{units}", built)
            channels = unit.widths[-1]
        for number, width in enumerate(spec.exit, start=1):
            stage.add_module(f"exit{number}", make_separable(channels, width, spec.eps))
            stage.add_module(f"act{number}", nn.ReLU(inplace=True))
            channels = width
        self.add_stage(name, stage, channels, stride=stride)
        self.head = pooled_head(channels, classes, dropout=spec.dropout)
        he(self)


register(Xception, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 299, 299), classes=1000, aliases=ALIASES)
