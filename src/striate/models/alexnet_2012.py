"""AlexNet of 2012: its channels form two groups that are connected only in conv3 and in the linear layers.

Source: Krizhevsky et al. 2012, section 3 and Figure 2.

======  ==========  ======================================================  =================
stage   output      layers                                                  paper's name
======  ==========  ======================================================  =================
stem    55 x 55     11x11 convolution, 96, stride 4, response norm          conv1
stage1  27 x 27     3x3 max pool, 5x5 convolution, 2 x 128, response norm   conv2
stage2  13 x 13     3x3 max pool, 3x3 convolutions, 384, 2 x 192, 2 x 128   conv3 to conv5
stage3  6 x 6       3x3 max pool                                            pool5
======  ==========  ======================================================  =================

Departures: images have 227 px, not the printed 224, because an 11x11 kernel with stride 4 has 55 positions only there;
weights begin as He et al. 2015 say; an adaptive 6x6 pool lets any image from 67 px serve. Each response is normalised
before it is pooled, as in the paper, and not after (Caffe's order). A pair of towers is a convolution in two groups.
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
from striate.nn.response import response_norm
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Krizhevsky, Sutskever, Hinton",
    year=2012,
    month=12,
    title="ImageNet Classification with Deep Convolutional Neural Networks",
    ref="Advances in Neural Information Processing Systems 25",
)
GRID = 6  # positions a side that the linear layers see


@dataclass(frozen=True, slots=True, kw_only=True)
class AlexNet2012Spec:
    """Sizes of the network.

    Args:
        widths: Maps of conv1 to conv5, of all towers together.
        towers: Groups of maps that do not see each other in conv2, conv4 and conv5.
        hidden: Units of fc6 and of fc7.
        dropout: Chance that an output of fc6 or fc7 is dropped in training.
    """

    widths: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    towers: int = 2
    hidden: int = 4096
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or min(*self.widths, self.hidden, self.towers) < 1:
            raise ValueError(f"five convolutions, a tower and fc6 each need a unit; got {self}")
        if any(width % self.towers for width in self.widths):
            raise ValueError(f"{self.towers} towers share every width evenly; got {self.widths}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and below 1; got {self.dropout}")


VARIANTS = {"alexnet_2012": AlexNet2012Spec()}
TINY = AlexNet2012Spec(widths=(4, 4, 6, 6, 4), hidden=16)


def dense_head(channels: int, hidden: int, dropout: float, classes: int) -> Head:
    """Two wide linear layers with dropout 0.5, and the logits.

    Args:
        channels: Maps of the last stage, read on a grid of 6 x 6.
        hidden: Units of fc6 and of fc7.
        dropout: Chance that an output of either is dropped.
        classes: Length of the output.
    """
    return Head(
        {
            "pool": global_pool(GRID),
            "fc6": nn.Sequential(nn.Linear(channels * GRID**2, hidden), nn.ReLU(inplace=True)),
            "drop6": nn.Dropout(dropout),
            "fc7": nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(inplace=True)),
            "drop7": nn.Dropout(dropout),
            "logits": nn.Linear(hidden, classes),
        }
    )


@final
class AlexNet2012(ImageModel):
    """The network of Figure 2.

    Args:
        spec: Sizes of the network.
    """

    def __init__(self, spec: AlexNet2012Spec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=67)
        w1, w2, w3, w4, w5 = spec.widths
        stem = sequence(
            conv1=nn.Conv2d(in_channels, w1, 11, stride=4),
            act1=nn.ReLU(inplace=True),
            response1=response_norm(),
        )
        stage1 = sequence(
            pool=nn.MaxPool2d(3, stride=2),
            conv2=nn.Conv2d(w1, w2, 5, padding=2, groups=spec.towers),
            act2=nn.ReLU(inplace=True),
            response2=response_norm(),
        )
        stage2 = sequence(
            pool=nn.MaxPool2d(3, stride=2),
            conv3=nn.Conv2d(w2, w3, 3, padding=1),  # the one convolution that sees both towers
            act3=nn.ReLU(inplace=True),
            conv4=nn.Conv2d(w3, w4, 3, padding=1, groups=spec.towers),
            act4=nn.ReLU(inplace=True),
            conv5=nn.Conv2d(w4, w5, 3, padding=1, groups=spec.towers),
            act5=nn.ReLU(inplace=True),
        )
        self.add_stage("stem", stem, w1, stride=4)
        self.add_stage("stage1", stage1, w2, stride=2)
        self.add_stage("stage2", stage2, w5, stride=2)
        self.add_stage("stage3", sequence(pool=nn.MaxPool2d(3, stride=2)), w5, stride=2)
        self.head = dense_head(w5, spec.hidden, spec.dropout, classes)
        he(self)


register(AlexNet2012, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 227, 227), classes=1000)
