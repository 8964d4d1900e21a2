"""ZFNet: AlexNet with a smaller stride and kernel in its first layer, chosen by visualising what the features detect.

Source: Zeiler and Fergus 2013, section 4.1 and Figure 3.

======  ==========  ==================================================  ===============
stage   output      layers                                              paper's name
======  ==========  ==================================================  ===============
stem    110 x 110   7x7 convolution, 96, stride 2                       layer 1
stage1  55 x 55     3x3 max pool, response norm                         layer 1
stage2  26 x 26     5x5 convolution, 256, stride 2                      layer 2
stage3  13 x 13     3x3 max pool, response norm, 3x3 convolutions,      layers 2 to 5
                    384, 384, 256
stage4  6 x 6       3x3 max pool                                        layer 5
======  ==========  ==================================================  ===============

Departures: the first convolution pads 1 px and pools keep incomplete windows, without which the printed 110, 55 and
13 do not come out; the contrast normalisation across maps, for which no constants are printed, has those of AlexNet;
weights begin as He et al. 2015 say; an adaptive 6x6 pool lets any image from 47 px serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.alexnet_2012 import dense_head
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.init import he
from striate.nn.pool import CeilMaxPool2d
from striate.nn.response import response_norm
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Zeiler, Fergus",
    year=2013,
    month=11,
    title="Visualizing and Understanding Convolutional Networks",
    ref="arXiv 1311.2901",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZFNetSpec:
    """Sizes of the network.

    Args:
        widths: Maps of layers 1 to 5.
        hidden: Units of fc6 and of fc7 (layers 6 and 7).
        dropout: Chance that an output of fc6 or fc7 is dropped in training.
    """

    widths: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    hidden: int = 4096
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or min(*self.widths, self.hidden) < 1:
            raise ValueError(f"five convolutions and fc6 each need a unit; got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and below 1; got {self.dropout}")


VARIANTS = {"zfnet": ZFNetSpec()}  # Figure 3
TINY = ZFNetSpec(widths=(4, 4, 6, 6, 4), hidden=16)


def halving() -> nn.MaxPool2d:
    """3x3 windows in steps of 2; what is left over at the end makes a window too."""
    return CeilMaxPool2d(3, stride=2)


@final
class ZFNet(ImageModel):
    """The network of Figure 3.

    Args:
        spec: Sizes of the network.
    """

    def __init__(self, spec: ZFNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=47)
        w1, w2, w3, w4, w5 = spec.widths
        stem = sequence(conv1=nn.Conv2d(in_channels, w1, 7, stride=2, padding=1), act1=nn.ReLU(inplace=True))
        stage2 = sequence(conv2=nn.Conv2d(w1, w2, 5, stride=2), act2=nn.ReLU(inplace=True))
        stage3 = sequence(
            pool=halving(),
            response2=response_norm(),
            conv3=nn.Conv2d(w2, w3, 3, padding=1),
            act3=nn.ReLU(inplace=True),
            conv4=nn.Conv2d(w3, w4, 3, padding=1),
            act4=nn.ReLU(inplace=True),
            conv5=nn.Conv2d(w4, w5, 3, padding=1),
            act5=nn.ReLU(inplace=True),
        )
        self.add_stage("stem", stem, w1, stride=2)
        self.add_stage("stage1", sequence(pool=halving(), response1=response_norm()), w1, stride=2)
        self.add_stage("stage2", stage2, w2, stride=2)
        self.add_stage("stage3", stage3, w5, stride=2)
        self.add_stage("stage4", sequence(pool=halving()), w5, stride=2)
        self.head = dense_head(w5, spec.hidden, spec.dropout, classes)
        he(self)


register(ZFNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
