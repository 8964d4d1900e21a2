"""ConvNeXt v2: ConvNeXt with global response normalisation, which makes the channels of its MLP compete.

The normalisation prevents feature collapse in masked-image pretraining. It replaces the layer scale of ConvNeXt.

Source: Woo et al. 2023, section 4 and Algorithm 1 (the normalisation), Figure 5 (the block), appendix (the sizes).
Random depth is that of the authors' commands for atto, tiny and base; femto to nano follow atto, large and huge base.

======  ==========  ==============================================================
stage   output      layers (atto)
======  ==========  ==============================================================
stem    56 x 56     4x4 convolution, 40, stride 4; normalisation
stage1  56 x 56     2 blocks, 40
stage2  28 x 28     normalisation; 2x2 convolution, stride 2; 2 blocks, 80
stage3  14 x 14     normalisation; 2x2 convolution, stride 2; 6 blocks, 160
stage4  7 x 7       normalisation; 2x2 convolution, stride 2; 2 blocks, 320
======  ==========  ==============================================================

Departures: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.convnext import EPS, Block, ConvNeXt, ConvNeXtSpec
from striate.models.registry import register

PAPER = Paper(
    authors="Woo et al.",
    year=2023,
    month=1,
    title="ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
    ref="arXiv 2301.00808",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseBlockSpec:
    """The block of Figure 5, right: the MLP's wide channels are normalised by their global response."""

    def build(self, channels: int, drop_path_rate: float) -> nn.Module:
        """A block that keeps its channels."""
        mlp = nn.Sequential()
        mlp.add_module("norm", nn.LayerNorm(channels, eps=EPS))
        mlp.add_module("fc1", nn.Linear(channels, 4 * channels))
        mlp.add_module("act", nn.GELU())
        mlp.add_module("response", GlobalResponseNorm(4 * channels))
        mlp.add_module("fc2", nn.Linear(4 * channels, channels))
        return Block(channels, mlp, drop_path_rate)


def _row(blocks: tuple[int, ...], width: int, drop_path_rate: float) -> ConvNeXtSpec:
    return ConvNeXtSpec(blocks=blocks, width=width, drop_path_rate=drop_path_rate, unit=ResponseBlockSpec())


VARIANTS = {
    "convnextv2_atto": _row((2, 2, 6, 2), 40, 0.1),
    "convnextv2_femto": _row((2, 2, 6, 2), 48, 0.1),
    "convnextv2_pico": _row((2, 2, 6, 2), 64, 0.1),
    "convnextv2_nano": _row((2, 2, 8, 2), 80, 0.1),
    "convnextv2_tiny": _row((3, 3, 9, 3), 96, 0.2),
    "convnextv2_base": _row((3, 3, 27, 3), 128, 0.1),
    "convnextv2_large": _row((3, 3, 27, 3), 192, 0.1),
    "convnextv2_huge": _row((3, 3, 27, 3), 352, 0.1),
}
TINY = _row((1, 1, 1, 1), 8, 0.1)


@final
class GlobalResponseNorm(nn.Module):
    """Scale every channel by its length over all positions, next to that of the others; add the input.

    Source:
        Woo et al. 2023, section 4 and Algorithm 1.

    Shape:
        ``[n, h, w, channels]`` to the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``weight * (x * response) + bias + x``, gathered so that one pass over the maps does it."""
        length = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        response = length / (length.mean(dim=-1, keepdim=True) + EPS)
        return torch.addcmul(self.bias, x, 1 + self.weight * response)


register(ConvNeXt, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000, family=__name__)
