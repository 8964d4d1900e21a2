"""MobileNet: depthwise separable convolutions: one within each channel, then a 1x1 that mixes the channels.

Source: Howard et al. 2017, Table 1; the width multiplier is section 3.3.

======  ==========  ===============================================
stage   output      layers (width 1)
======  ==========  ===============================================
stem    112 x 112   3x3 convolution, 32, stride 2; 1 unit, 64
stage1  56 x 56     2 units, 128
stage2  28 x 28     2 units, 256
stage3  14 x 14     6 units, 512
stage4  7 x 7       2 units, 1024
======  ==========  ===============================================

Departures: rectifiers stop at 6, as in every published set of weights. Padding and eps are those of the authors' own
weights (TensorFlow's, Keras'); timm's weights need ``eps=1e-5, stem_padding="symmetric", padding="symmetric"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, Padding, check_padding
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="Howard et al.",
    year=2017,
    month=4,
    title="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    ref="arXiv 1704.04861",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetV1Spec:
    """The network of Table 1 at some width.

    Args:
        units: Channels of each unit, a row for every stage (at width 1).
        stem_width: Channels of the first convolution (at width 1).
        width: The multiplier of all channels, above 0.
        stem_padding: How the first convolution pads.
        padding: How depthwise convolutions pad.
        eps: Added to the variance by every batch normalisation.
    """

    units: tuple[tuple[int, ...], ...] = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
    stem_width: int = 32
    width: float = 1.0
    stem_padding: Padding = "same"
    padding: Padding = "after"
    eps: float = 1e-3

    def __post_init__(self) -> None:
        check_padding(self.stem_padding)
        check_padding(self.padding)
        if not self.units or not all(self.units):
            raise ValueError(f"every stage needs a unit; got {self.units}")
        if min(self.channels(each) for each in (self.stem_width, *sum(self.units, ()))) < 1:
            raise ValueError(f"a width of {self.width} leaves a layer without channels")

    def channels(self, at_width_1: int) -> int:
        """Channels after the width multiplier, rounded down as the published networks are."""
        return int(at_width_1 * self.width)


VARIANTS = {"mobilenet_v1": MobileNetV1Spec()}  # Table 1
ALIASES = {"mobilenetv1_100": "mobilenet_v1"}
TINY = MobileNetV1Spec(units=((8,), (8,), (12,), (12,), (16,)), stem_width=8, width=0.5)


def make_separable(channels: int, width: int, *, stride: int, padding: Padding, eps: float) -> nn.Module:
    """A depthwise 3x3 convolution, then a pointwise one, each normalised and rectified (Figure 3, right).

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, h / stride, w / stride]``.
    """
    unit = nn.Sequential()
    depthwise = ConvNorm(channels, channels, 3, stride=stride, padding=padding, groups=channels, eps=eps, act=nn.ReLU6)
    unit.add_module("depthwise", depthwise)
    unit.add_module("pointwise", ConvNorm(channels, width, 1, eps=eps, act=nn.ReLU6))
    return unit


@final
class MobileNetV1(ImageModel):
    """The network of Table 1.

    Args:
        spec: Widths, paddings and eps.
    """

    def __init__(self, spec: MobileNetV1Spec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=2 ** len(spec.units))
        channels = spec.channels(spec.stem_width)
        conv = ConvNorm(in_channels, channels, 3, stride=2, padding=spec.stem_padding, eps=spec.eps, act=nn.ReLU6)
        for number, widths in enumerate(spec.units):
            stage = nn.Sequential()
            if number == 0:
                stage.add_module("conv", conv)
            for index, at_width_1 in enumerate(widths):
                stride = 2 if number > 0 and index == 0 else 1
                width = spec.channels(at_width_1)
                unit = make_separable(channels, width, stride=stride, padding=spec.padding, eps=spec.eps)
                stage.add_module(f"unit{index + 1}", unit)
                channels = width
            self.add_stage(f"stage{number}" if number else "stem", stage, channels, stride=2)
        self.head = pooled_head(channels, classes)
        he(self)


register(MobileNetV1, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000, aliases=ALIASES)
