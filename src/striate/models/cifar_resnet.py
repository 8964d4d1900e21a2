"""Plain and residual networks for 32 px images: depth degrades the plain ones and not the residual ones.

Source: He et al. 2015, section 4.2; depth is 6 n + 2 for n units a stage.

======  ==========  ============================
stage   output      units (20 layers)
======  ==========  ============================
stem    32 x 32     3x3 convolution, 16
stage1  32 x 32     3 units, 16
stage2  16 x 16     3 units, 32
stage3  8 x 8       3 units, 64
======  ==========  ============================

Departures: none. Shortcuts have no parameters (option A of section 3.3), so a plain network and its residual twin
have equally many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from striate.models.network import ImageModel
from striate.models.registry import register
from striate.models.resnet import PAPER, BasicSpec, Place, ResNetSpec, make_stack, unit_places, units
from striate.nn.conv import ConvNorm
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence
from striate.nn.tracing import sizes_are_open


def make_padded(place: Place, channels: int, *, normed: bool = True) -> nn.Module:
    """The identity where shapes agree, else a shortcut without parameters (option A of section 3.3)."""
    if place.stride == 1 and place.channels == channels:
        return nn.Identity()
    return PaddedShortcut(place.channels, channels, place.stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSpec:
    """Two 3x3 convolutions, one after the other."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 1

    def build(self, place: Place) -> nn.Module:
        """A unit from ``place.channels`` to ``place.width`` channels."""
        return make_stack(BasicSpec().convs(place), place.eps, last=nn.ReLU)


PADDED = BasicSpec(shortcut=make_padded)
VARIANTS = {  # Table 6
    "resnet20_cifar": ResNetSpec(unit=PADDED, blocks=(3, 3, 3), stem_width=16),
    "resnet32_cifar": ResNetSpec(unit=PADDED, blocks=(5, 5, 5), stem_width=16),
    "resnet44_cifar": ResNetSpec(unit=PADDED, blocks=(7, 7, 7), stem_width=16),
    "resnet56_cifar": ResNetSpec(unit=PADDED, blocks=(9, 9, 9), stem_width=16),
    "resnet110_cifar": ResNetSpec(unit=PADDED, blocks=(18, 18, 18), stem_width=16),
    "plain20_cifar": ResNetSpec(unit=PlainSpec(), blocks=(3, 3, 3), stem_width=16),
    "plain32_cifar": ResNetSpec(unit=PlainSpec(), blocks=(5, 5, 5), stem_width=16),
    "plain44_cifar": ResNetSpec(unit=PlainSpec(), blocks=(7, 7, 7), stem_width=16),
    "plain56_cifar": ResNetSpec(unit=PlainSpec(), blocks=(9, 9, 9), stem_width=16),
    "plain110_cifar": ResNetSpec(unit=PlainSpec(), blocks=(18, 18, 18), stem_width=16),
}
TINY = ResNetSpec(unit=PADDED, blocks=(1, 1, 1), stem_width=4)


@final
class PaddedShortcut(nn.Module):
    """Every `stride`-th position, with maps of zeros on both sides to reach the new width (option A).

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, ceil(h / stride), ceil(w / stride)]``.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.before = (width - channels) // 2
        self.after = width - channels - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Subsample, then pad the channels."""
        # torch.export cannot see that a slice has as many positions as a strided convolution
        kept = F.avg_pool2d(x, 1, self.stride) if sizes_are_open(x) else x[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, self.before, self.after))


@final
class CifarResNet(ImageModel):
    """The network of section 4.2.

    Args:
        spec: Unit and depth.
    """

    def __init__(self, spec: ResNetSpec, *, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        channels = spec.stem_width
        self.add_stage("stem", ConvNorm(in_channels, channels, 3, eps=spec.eps), channels)
        for number, row in enumerate(unit_places(spec.unit, spec.blocks, channels, spec.eps), start=1):
            channels = row[0].width * spec.unit.expansion
            self.add_stage(f"stage{number}", sequence(**units(spec.unit, row)), channels, stride=row[0].stride)
        self.head = pooled_head(channels, classes)
        he(self)


register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10)
