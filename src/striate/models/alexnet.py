"""AlexNet in one tower: five convolutions and three linear layers with ReLU, and dropout before the linear layers.

Source: Krizhevsky 2014, section 5, footnote 1 (the network of Krizhevsky et al. 2012 on one device).

======  ==========  ===================================================  =============
stage   output      layers                                               paper's name
======  ==========  ===================================================  =============
stem    55 x 55     11x11 convolution, 64, stride 4                      conv1
stage1  27 x 27     3x3 max pool, 5x5 convolution, 192                   conv2
stage2  13 x 13     3x3 max pool, 3x3 convolutions, 384, 256, 256        conv3 to conv5
stage3  6 x 6       3x3 max pool                                         pool5
======  ==========  ===================================================  =============

Departures, all from the published weights (torchvision's): no response normalisation, 256 maps in conv4 where the
paper has 384, dropout before fc6 and fc7 instead of after them, and an adaptive 6x6 pool so that any image from 63 px
serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.heads import Head, global_pool
from striate.nn.init import he

PAPER = Paper(
    authors="Krizhevsky",
    year=2014,
    month=4,
    title="One weird trick for parallelizing convolutional neural networks",
    ref="arXiv 1404.5997",
)
GRID = 6  # positions a side that the linear layers see


@dataclass(frozen=True, slots=True, kw_only=True)
class AlexNetSpec:
    """Sizes of the network.

    Args:
        widths: Maps of conv1 to conv5.
        hidden: Units of fc6 and of fc7.
        dropout: Chance that a feature entering fc6 or fc7 is dropped in training.
    """

    widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256)
    hidden: int = 4096
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or min(*self.widths, self.hidden) < 1:
            raise ValueError(f"five convolutions and fc6 each need a unit; got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and below 1; got {self.dropout}")


VARIANTS = {"alexnet": AlexNetSpec()}
TINY = AlexNetSpec(widths=(2, 3, 4, 3, 3), hidden=16)


@final
class AlexNet(ImageModel):
    """The one-tower network.

    Args:
        spec: Sizes of the network.
    """

    def __init__(self, spec: AlexNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=63)
        conv1, conv2, conv3, conv4, conv5 = spec.widths

        stem = nn.Sequential()
        stem.add_module("conv1", nn.Conv2d(in_channels, conv1, 11, stride=4, padding=2))
        stem.add_module("act1", nn.ReLU(inplace=True))
        self.add_stage("stem", stem, conv1, stride=4)

        stage1 = nn.Sequential()
        stage1.add_module("pool", nn.MaxPool2d(3, stride=2))
        stage1.add_module("conv2", nn.Conv2d(conv1, conv2, 5, padding=2))
        stage1.add_module("act2", nn.ReLU(inplace=True))
        self.add_stage("stage1", stage1, conv2, stride=2)

        stage2 = nn.Sequential()
        stage2.add_module("pool", nn.MaxPool2d(3, stride=2))
        for number, (channels, width) in enumerate([(conv2, conv3), (conv3, conv4), (conv4, conv5)], start=3):
            stage2.add_module(f"conv{number}", nn.Conv2d(channels, width, 3, padding=1))
            stage2.add_module(f"act{number}", nn.ReLU(inplace=True))
        self.add_stage("stage2", stage2, conv5, stride=2)

        stage3 = nn.Sequential()
        stage3.add_module("pool", nn.MaxPool2d(3, stride=2))
        self.add_stage("stage3", stage3, conv5, stride=2)

        self.head = Head(
            {
                "pool": global_pool(GRID),
                "drop6": nn.Dropout(spec.dropout),
                "fc6": nn.Sequential(nn.Linear(conv5 * GRID**2, spec.hidden), nn.ReLU(inplace=True)),
                "drop7": nn.Dropout(spec.dropout),
                "fc7": nn.Sequential(nn.Linear(spec.hidden, spec.hidden), nn.ReLU(inplace=True)),
                "logits": nn.Linear(spec.hidden, classes),
            }
        )
        he(self)


register(AlexNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
