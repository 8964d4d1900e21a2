"""ConvNeXt: a residual network redesigned step by step after vision transformers.

Its block is a 7x7 depthwise convolution, followed by a small MLP at each position.

Source: Liu et al. 2022, Figure 4 (the block), Table 9 (tiny in full), section 3 (the sizes), Table 5 (random depth; the
largest network's is that of its first training, on ImageNet-22k).

======  ==========  ==============================================================
stage   output      layers (tiny)
======  ==========  ==============================================================
stem    56 x 56     4x4 convolution, 96, stride 4; normalisation
stage1  56 x 56     3 blocks, 96
stage2  28 x 28     normalisation; 2x2 convolution, stride 2; 3 blocks, 192
stage3  14 x 14     normalisation; 2x2 convolution, stride 2; 9 blocks, 384
stage4  7 x 7       normalisation; 2x2 convolution, stride 2; 3 blocks, 768
======  ==========  ==============================================================

Departures: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.drop import StochasticDepth, check_drop_path_rate, linear_drop_path
from striate.nn.heads import Head, global_pool
from striate.nn.init import truncated
from striate.nn.norm import ChannelNorm

PAPER = Paper(
    authors="Liu et al.",
    year=2022,
    month=1,
    title="A ConvNet for the 2020s",
    ref="arXiv 2201.03545",
)
EPS = 1e-6
"""Of every layer normalisation."""


class UnitSpec(Protocol):
    """Spec of a block."""

    def build(self, channels: int, drop_path_rate: float) -> nn.Module:
        """A block that keeps its channels.

        Args:
            channels: In and out.
            drop_path_rate: Probability of dropping it in training.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledBlockSpec:
    """The block of Figure 4: each channel of what is added has a scale of its own.

    Args:
        scale: What the scales begin with.
    """

    scale: float = 1e-6

    def build(self, channels: int, drop_path_rate: float) -> nn.Module:
        """A block that keeps its channels."""
        mlp = nn.Sequential()
        mlp.add_module("norm", nn.LayerNorm(channels, eps=EPS))
        mlp.add_module("fc1", nn.Linear(channels, 4 * channels))
        mlp.add_module("act", nn.GELU())
        mlp.add_module("fc2", nn.Linear(4 * channels, channels))
        mlp.add_module("scale", LayerScale(channels, self.scale))
        return Block(channels, mlp, drop_path_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNeXtSpec:
    """One of the sizes of section 3.

    Args:
        blocks: Blocks a stage.
        width: Channels of the first stage; each further stage has twice as many.
        drop_path_rate: Probability of dropping the last block in training; it rises linearly from 0 at the first block.
        unit: Spec of the blocks.
    """

    blocks: tuple[int, ...]
    width: int
    drop_path_rate: float
    unit: UnitSpec = ScaledBlockSpec()

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 1 or self.width < 1:
            raise ValueError(f"every stage needs a block and every block a channel; got {self}")
        check_drop_path_rate(self.drop_path_rate)


VARIANTS = {  # section 3, and Table 5 for drop_path_rate
    "convnext_tiny": ConvNeXtSpec(blocks=(3, 3, 9, 3), width=96, drop_path_rate=0.1),
    "convnext_small": ConvNeXtSpec(blocks=(3, 3, 27, 3), width=96, drop_path_rate=0.4),
    "convnext_base": ConvNeXtSpec(blocks=(3, 3, 27, 3), width=128, drop_path_rate=0.5),
    "convnext_large": ConvNeXtSpec(blocks=(3, 3, 27, 3), width=192, drop_path_rate=0.5),
    "convnext_xlarge": ConvNeXtSpec(blocks=(3, 3, 27, 3), width=256, drop_path_rate=0.2),
}
TINY = ConvNeXtSpec(blocks=(1, 1, 1, 1), width=8, drop_path_rate=0.1)


@final
class LayerScale(nn.Module):
    """A learned factor for every channel, small at first.

    Source:
        Touvron et al. 2021, Going deeper with Image Transformers (arXiv 2103.17239), equation 4.

    Shape:
        ``[..., channels]`` to the same.
    """

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """Scale every channel."""
        return x * self.weight


@final
class Block(nn.Module):
    """Look around depthwise, then think at each position; added to the input (Figure 4, right).

    Args:
        channels: In and out.
        mlp: What runs at each position; its input has the channels last, ``[n, h, w, channels]``.
        drop_path_rate: Probability of dropping the block in training.

    Shape:
        ``[n, channels, h, w]`` to the same.
    """

    def __init__(self, channels: int, mlp: nn.Module, drop_path_rate: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.mlp = mlp
        self.drop = StochasticDepth(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Add the MLP's output to the maps; permuting the axes copies nothing."""
        answer = self.mlp(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.drop(answer)


@final
class ConvNeXt(ImageModel):
    """The network of Table 9, at any size.

    Args:
        spec: The size.
    """

    def __init__(self, spec: ConvNeXtSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=4 * 2 ** (len(spec.blocks) - 1))
        channels = spec.width
        stem = nn.Sequential()
        stem.add_module("conv", nn.Conv2d(in_channels, channels, 4, stride=4))
        stem.add_module("norm", ChannelNorm(channels, eps=EPS))
        self.add_stage("stem", stem, channels, stride=4)
        rates = iter([0.0, *linear_drop_path(spec.drop_path_rate, sum(spec.blocks) - 1)])
        for number, count in enumerate(spec.blocks, start=1):
            stage = nn.Sequential()
            if number > 1:
                stage.add_module("norm", ChannelNorm(channels, eps=EPS))
                stage.add_module("conv", nn.Conv2d(channels, 2 * channels, 2, stride=2))
                channels *= 2
            for index in range(count):
                stage.add_module(f"unit{index + 1}", spec.unit.build(channels, next(rates)))
            self.add_stage(f"stage{number}", stage, channels, stride=2 if number > 1 else 1)
        norm = nn.LayerNorm(channels, eps=EPS)
        self.head = Head({"pool": global_pool(), "norm": norm, "logits": nn.Linear(channels, classes)})
        truncated(self)


register(ConvNeXt, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
