"""All-CNN: strided convolutions instead of pooling.

Source: Springenberg et al. 2014, Tables 1 and 2.

======  ==========  ======================================================
stage   output      layers (C)
======  ==========  ======================================================
stem    32 x 32     two 3x3 convolutions, 96
stage1  16 x 16     3x3 convolution, 96, stride 2; two 3x3, 192
stage2  6 x 6       3x3 convolution, 192, stride 2; 3x3 and 1x1, 192
======  ==========  ======================================================

Departures: the last 1x1 convolution is a linear layer after global average pooling, which computes the same function;
there is no dropout on the image itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import nn

import striate
from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import Padding, make_conv2d
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="Springenberg et al.",
    year=2014,
    month=12,
    title="Striving for Simplicity: The All Convolutional Net",
    ref="arXiv 1412.6806",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCNNSpec:
    """One variant of Table 1.

    Args:
        kernels: Kernel sizes of the convolutions before each strided convolution.
        width: Channels before the first strided convolution; twice as many after it.
        dropout: Dropout probability after each strided convolution.
    """

    kernels: tuple[int, ...]
    width: int = 96
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not self.kernels or min(*self.kernels, self.width) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"kernels and width must be positive, and dropout in [0, 1); got {self}")


VARIANTS = {  # Table 1
    "all_cnn_a": AllCNNSpec(kernels=(5,)),
    "all_cnn_b": AllCNNSpec(kernels=(5, 1)),
    "all_cnn_c": AllCNNSpec(kernels=(3, 3)),
}
TINY = AllCNNSpec(kernels=(3,), width=8)


def conv_relu(channels: int, width: int, kernel: int, *, stride: int = 1, padding: Padding = "symmetric") -> nn.Module:
    """A convolution with a bias, and ReLU."""
    return nn.Sequential(
        make_conv2d(channels, width, kernel, stride=stride, padding=padding, bias=True), nn.ReLU(inplace=True)
    )


@final
class AllCNN(ImageModel):
    """The network of Table 2.

    Args:
        spec: Kernel sizes, width and dropout.
        classes: Number of classes.
        in_channels: Number of input channels.
    """

    def __init__(self, spec: AllCNNSpec, *, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=9)
        narrow, wide = spec.width, 2 * spec.width
        stem, stage1 = nn.Sequential(), nn.Sequential(conv_relu(narrow, narrow, 3, stride=2), nn.Dropout(spec.dropout))
        for index, kernel in enumerate(spec.kernels):
            stem.append(conv_relu(narrow if index else in_channels, narrow, kernel))
            stage1.append(conv_relu(wide if index else narrow, wide, kernel))
        stage2 = nn.Sequential(conv_relu(wide, wide, 3, stride=2), nn.Dropout(spec.dropout))
        stage2.extend([conv_relu(wide, wide, 3, padding="valid"), conv_relu(wide, wide, 1)])
        self.add_stage("stem", stem, narrow)
        self.add_stage("stage1", stage1, wide, stride=2)
        self.add_stage("stage2", stage2, wide, stride=2)
        self.head = pooled_head(wide, classes)
        he(self)


register(AllCNN, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10)


if __name__ == "__main__":
    model = striate.create_model("all_cnn_c", classes=7).eval()
    for stage, features in model.forward_stages(torch.randn(1, 3, 32, 32)).items():
        print(stage, tuple(features.shape))

    cost = striate.sizing.measure(striate.create_model("all_cnn_c"), (3, 32, 32)).totals
    print(f"{cost.params:,} parameters, {cost.macs:,} multiply-adds, receptive field {cost.receptive_field} px")
