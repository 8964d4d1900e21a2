"""Plain and residual networks for 32 px pictures: the pair that shows depth failing, and residuals curing it.

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

from striate.models.base import ImageModel
from striate.models.registry import register
from striate.models.resnet import PAPER, Residual, Unit
from striate.nn.conv import ConvNorm
from striate.nn.heads import pooled_head
from striate.nn.init import he


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Two 3x3 convolutions, one after the other."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 1

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to `width` channels."""
        unit = nn.Sequential()
        unit.add_module("conv1", ConvNorm(channels, width, 3, stride=stride, eps=eps))
        unit.add_module("conv2", ConvNorm(width, width, 3, eps=eps))
        return unit


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddedBasic:
    """Two 3x3 convolutions beside a shortcut without parameters."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 1

    def build(self, channels: int, width: int, stride: int, eps: float) -> nn.Module:
        """A unit from `channels` to `width` channels."""
        residual = nn.Sequential()
        residual.add_module("conv1", ConvNorm(channels, width, 3, stride=stride, eps=eps))
        residual.add_module("conv2", ConvNorm(width, width, 3, eps=eps, act=None))
        same = stride == 1 and channels == width
        return Residual(residual, nn.Identity() if same else PaddedShortcut(channels, width, stride))


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarResNetSpec:
    """One network of section 4.2.

    Args:
        unit: The maker of units.
        blocks: Units a stage.
        stem_width: Channels of the first convolution and of the first stage.
        eps: Added to the variance by every batch normalisation.
    """

    unit: Unit
    blocks: tuple[int, ...]
    stem_width: int = 16
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 1 or self.stem_width < 1:
            raise ValueError(f"every stage needs a unit and every unit a channel; got {self}")


VARIANTS = {  # Table 6
    "resnet20_cifar": CifarResNetSpec(unit=PaddedBasic(), blocks=(3, 3, 3)),
    "resnet32_cifar": CifarResNetSpec(unit=PaddedBasic(), blocks=(5, 5, 5)),
    "resnet44_cifar": CifarResNetSpec(unit=PaddedBasic(), blocks=(7, 7, 7)),
    "resnet56_cifar": CifarResNetSpec(unit=PaddedBasic(), blocks=(9, 9, 9)),
    "resnet110_cifar": CifarResNetSpec(unit=PaddedBasic(), blocks=(18, 18, 18)),
    "plain20_cifar": CifarResNetSpec(unit=Plain(), blocks=(3, 3, 3)),
    "plain32_cifar": CifarResNetSpec(unit=Plain(), blocks=(5, 5, 5)),
    "plain44_cifar": CifarResNetSpec(unit=Plain(), blocks=(7, 7, 7)),
    "plain56_cifar": CifarResNetSpec(unit=Plain(), blocks=(9, 9, 9)),
    "plain110_cifar": CifarResNetSpec(unit=Plain(), blocks=(18, 18, 18)),
}
TINY = CifarResNetSpec(unit=PaddedBasic(), blocks=(1, 1, 1), stem_width=4)


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
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


@final
class CifarResNet(ImageModel):
    """The network of section 4.2.

    Args:
        spec: Unit and depth.
        classes: Length of the output.
        in_channels: Channels of the pictures.
    """

    def __init__(self, spec: CifarResNetSpec, *, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        width = channels = spec.stem_width
        self.add_stage("stem", ConvNorm(in_channels, width, 3, eps=spec.eps), width)
        for number, count in enumerate(spec.blocks, start=1):
            stage = nn.Sequential()
            down = 1 if number == 1 else 2
            for index in range(count):
                stage.add_module(f"unit{index + 1}", spec.unit.build(channels, width, 1 if index else down, spec.eps))
                channels = width * spec.unit.expansion
            self.add_stage(f"stage{number}", stage, channels, stride=down)
            width *= 2
        self.head = pooled_head(channels, classes)
        he(self)


register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10)
