"""LeNet-5: convolutions alternate with subsampling and are followed by linear layers.

Source: LeCun et al. 1998, section II.B and Figure 2.

======  ==========  ==============================================  ============
stage   output      layers                                          paper's name
======  ==========  ==============================================  ============
stem    28 x 28     5x5 convolution, 6                              C1
stage1  10 x 10     2x2 average pool, 5x5 convolution, 16           S2, C3
stage2  1 x 1       2x2 average pool, 5x5 convolution, 120          S4, C5
======  ==========  ==============================================  ============

Departures: C3 reads all of S2's maps (the paper's Table I leaves some out), subsampling has no parameters, and the
output is linear instead of radial basis functions; the 61,706 parameters are those of the form in common use. On
images above 32 px, C5 slides, and its maps are averaged before F6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import make_conv2d
from striate.nn.heads import Head, global_pool
from striate.nn.init import xavier

PAPER = Paper(
    authors="LeCun, Bottou, Bengio, Haffner",
    year=1998,
    month=11,
    title="Gradient-Based Learning Applied to Document Recognition",
    ref="Proceedings of the IEEE 86(11), 2278-2324",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeNetSpec:
    """Widths of the layers in Figure 2.

    Args:
        widths: Maps of C1, C3 and C5.
        hidden: Units of F6.
    """

    widths: tuple[int, int, int] = (6, 16, 120)
    hidden: int = 84

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or min(*self.widths, self.hidden) < 1:
            raise ValueError(f"C1, C3, C5 and F6 each need a unit; got {self}")


VARIANTS = {"lenet5": LeNetSpec()}  # Figure 2
TINY = LeNetSpec(widths=(2, 3, 4), hidden=5)


def convolution(channels: int, width: int) -> nn.Sequential:
    """A 5x5 convolution without padding, and tanh.

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, h - 4, w - 4]``.
    """
    layers = nn.Sequential()
    layers.add_module("conv", make_conv2d(channels, width, 5, padding="valid", bias=True))
    layers.add_module("act", nn.Tanh())
    return layers


@final
class LeNet(ImageModel):
    """The network of Figure 2.

    Args:
        spec: Widths of the layers.
    """

    def __init__(self, spec: LeNetSpec, *, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=32)
        c1, c3, c5 = spec.widths
        self.add_stage("stem", convolution(in_channels, c1), c1)
        for number, (channels, width) in enumerate([(c1, c3), (c3, c5)], start=1):
            stage = nn.Sequential()
            stage.add_module("pool", nn.AvgPool2d(2))
            for name, layer in convolution(channels, width).named_children():
                stage.add_module(name, layer)
            self.add_stage(f"stage{number}", stage, width, stride=2)
        f6 = nn.Sequential(nn.Linear(c5, spec.hidden), nn.Tanh())
        self.head = Head({"pool": global_pool(), "f6": f6, "logits": nn.Linear(spec.hidden, classes)})
        xavier(self)


register(LeNet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 32, 32), classes=10)
