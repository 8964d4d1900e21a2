"""VGG: a deep stack of 3x3 convolutions; two of them have the receptive field of one 5x5, with fewer weights.

Source: Simonyan and Zisserman 2014, Table 1.

======  ==========  ===========================  ============
stage   output      layers (16 layers, D)        paper's name
======  ==========  ===========================  ============
stem    224 x 224   2 convolutions, 64           conv1_x
stage1  112 x 112   2x2 max pool, 2, 128         conv2_x
stage2  56 x 56     2x2 max pool, 3, 256         conv3_x
stage3  28 x 28     2x2 max pool, 3, 512         conv4_x
stage4  14 x 14     2x2 max pool, 3, 512         conv5_x
stage5  7 x 7       2x2 max pool                 pool5
======  ==========  ===========================  ============

Departures: an adaptive 7x7 pool before fc6 (torchvision's), so that any image from 32 px serves. The ``_bn`` rows
normalise every convolution, which the paper does not; their convolutions keep biases, as the published weights do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import make_conv2d
from striate.nn.heads import Head, global_pool
from striate.nn.init import he
from striate.nn.response import response_norm
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Simonyan, Zisserman",
    year=2014,
    month=9,
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
    ref="arXiv 1409.1556",
)
GRID = 7  # positions a side that the linear layers see


class LayerSpec(Protocol):
    """Spec of one layer with weights and what follows it."""

    def build(self, channels: int, width: int, kernel: int) -> nn.Module:
        """A convolution from `channels` to `width` maps of the same size."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSpec:
    """Convolution and rectifier."""

    def build(self, channels: int, width: int, kernel: int) -> nn.Module:
        """A convolution from `channels` to `width` maps of the same size."""
        return sequence(conv=make_conv2d(channels, width, kernel, bias=True), act=nn.ReLU(inplace=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedSpec:
    """Convolution, batch normalisation and rectifier.

    Args:
        eps: Added to the variance by the normalisation.
    """

    eps: float = 1e-5

    def build(self, channels: int, width: int, kernel: int) -> nn.Module:
        """A convolution from `channels` to `width` maps of the same size."""
        conv, norm = make_conv2d(channels, width, kernel, bias=True), nn.BatchNorm2d(width, eps=self.eps)
        return sequence(conv=conv, norm=norm, act=nn.ReLU(inplace=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseNormalisedSpec:
    """Convolution, rectifier and local response normalisation (configuration A-LRN).

    Args:
        size: Neighbouring maps that share a response.
        alpha: Weight of their sum of squares, not divided by `size` (Krizhevsky et al. 2012, section 3.3).
        beta: Exponent.
        k: Constant beside the sum.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    def build(self, channels: int, width: int, kernel: int) -> nn.Module:
        """A convolution from `channels` to `width` maps of the same size."""
        conv = make_conv2d(channels, width, kernel, bias=True)
        response = response_norm(size=self.size, alpha=self.alpha, beta=self.beta, k=self.k)
        return sequence(conv=conv, act=nn.ReLU(inplace=True), response=response)


@dataclass(frozen=True, slots=True, kw_only=True)
class VGGSpec:
    """One column of Table 1.

    Args:
        kernels: A row of kernel sides for conv1_x, conv2_x, ...
        layer: Spec of the convolutions.
        first: Spec of the first convolution; None takes `layer`.
        widths: Maps of conv1_x, conv2_x, ...
        hidden: Units of fc6 and of fc7.
        dropout: Chance that an output of fc6 or fc7 is dropped in training.
    """

    kernels: tuple[tuple[int, ...], ...]
    layer: LayerSpec = PlainSpec()
    first: LayerSpec | None = None
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if len(self.kernels) != len(self.widths) or not all(self.kernels):
            raise ValueError(f"every group needs a width and a convolution; got {self}")
        if min(*self.widths, self.hidden) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"widths are at least 1, dropout at least 0 and below 1; got {self}")


A = ((3,), (3,), (3, 3), (3, 3), (3, 3))
B = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
C = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))

VARIANTS = {  # Table 1
    "vgg11": VGGSpec(kernels=A),
    "vgg11_bn": VGGSpec(kernels=A, layer=NormalisedSpec()),
    "vgg11_lrn": VGGSpec(kernels=A, first=ResponseNormalisedSpec()),
    "vgg13": VGGSpec(kernels=B),
    "vgg13_bn": VGGSpec(kernels=B, layer=NormalisedSpec()),
    "vgg16_c": VGGSpec(kernels=C),
    "vgg16": VGGSpec(kernels=D),
    "vgg16_bn": VGGSpec(kernels=D, layer=NormalisedSpec()),
    "vgg19": VGGSpec(kernels=E),
    "vgg19_bn": VGGSpec(kernels=E, layer=NormalisedSpec()),
}
TINY = VGGSpec(kernels=((3,), (3,), (3,), (3,), (1,)), layer=NormalisedSpec(), widths=(4, 4, 4, 4, 4), hidden=16)


@final
class VGG(ImageModel):
    """The network of Table 1.

    Args:
        spec: The column of the table.
    """

    def __init__(self, spec: VGGSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=2 ** len(spec.widths))
        channels = in_channels
        for number, (kernels, width) in enumerate(zip(spec.kernels, spec.widths, strict=True)):
            stage = nn.Sequential()
            if number > 0:
                stage.add_module("pool", nn.MaxPool2d(2))
            for index, kernel in enumerate(kernels):
                layer = spec.first if spec.first and number == index == 0 else spec.layer
                stage.add_module(f"conv{index + 1}", layer.build(channels, width, kernel))
                channels = width
            name, stride = (f"stage{number}", 2) if number else ("stem", 1)
            self.add_stage(name, stage, channels, stride=stride)
        self.add_stage(f"stage{len(spec.widths)}", sequence(pool=nn.MaxPool2d(2)), channels, stride=2)

        self.head = Head(
            {
                "pool": global_pool(GRID),
                "fc6": nn.Sequential(nn.Linear(channels * GRID**2, spec.hidden), nn.ReLU(inplace=True)),
                "drop6": nn.Dropout(spec.dropout),
                "fc7": nn.Sequential(nn.Linear(spec.hidden, spec.hidden), nn.ReLU(inplace=True)),
                "drop7": nn.Dropout(spec.dropout),
                "logits": nn.Linear(spec.hidden, classes),
            }
        )
        he(self)


register(VGG, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
