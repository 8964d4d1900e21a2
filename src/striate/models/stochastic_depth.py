"""Stochastic depth: training skips residual blocks at random, the later ones more often.

Source: Huang et al. 2016, section 3 and section 4 (ResNet-110 on CIFAR, p_L = 0.5).

======  ==========  ============================
stage   output      units
======  ==========  ============================
stem    32 x 32     3x3 convolution, 16
stage1  32 x 32     18 units, 16
stage2  16 x 16     18 units, 32
stage3  8 x 8       18 units, 64
======  ==========  ============================

Departures: what stays is divided by its chance to stay in training, where the paper multiplies by it in evaluation; and
each image of a batch draws for itself, where the paper draws once a batch. The parameters are ResNet-110's, name by
name; its weights for evaluation load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from striate.core.paper import Paper
from striate.models.cifar_resnet import PADDED, CifarResNet
from striate.models.registry import register
from striate.models.resnet import Place, Residual, ResNetSpec, make_stack
from striate.models.resnet_v2 import Body
from striate.nn.drop import StochasticDepth, check_drop_path_rate, linear_drop_path

PAPER = Paper(
    authors="Huang et al.",
    year=2016,
    month=3,
    title="Deep Networks with Stochastic Depth",
    ref="arXiv 1603.09382",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticDepthUnitSpec:
    """A residual unit whose function is dropped for some images in training (equation 2).

    Args:
        body: The convolutions.
        drop_path_rate: Probability of dropping the network's last unit, 1 - p_L in the paper; it rises linearly from 0
            at the image.
    """

    body: Body = PADDED
    drop_path_rate: float = 0.5

    def __post_init__(self) -> None:
        check_drop_path_rate(self.drop_path_rate)

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return self.body.expansion

    def build(self, place: Place) -> nn.Module:
        """The unit for a position, which determines its drop path rate."""
        residual = make_stack(self.body.convs(place), place.eps)
        rate = linear_drop_path(self.drop_path_rate, place.total)[place.index - 1]
        residual.add_module("drop", StochasticDepth(rate))
        return Residual(residual, self.body.shortcut(place, place.width * self.expansion))


VARIANTS = {
    "stochastic_depth_resnet110": ResNetSpec(unit=StochasticDepthUnitSpec(), blocks=(18, 18, 18), stem_width=16)
}  # section 4
TINY = ResNetSpec(unit=StochasticDepthUnitSpec(), blocks=(1, 1, 1), stem_width=4)

register(CifarResNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10, family=__name__)
