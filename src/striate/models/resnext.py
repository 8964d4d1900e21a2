"""ResNeXt: each block sums many narrow branches of the same shape, computed as one grouped convolution.

Source: Xie et al. 2016, Figure 3 (c), Table 1 (224 px) and section 5.3 (CIFAR).

======  ==========  ===============================================
stage   output      units (50 layers, 32 paths, 4 channels a path)
======  ==========  ===============================================
stem    112 x 112   7x7 convolution, 64, stride 2
stage1  56 x 56     3x3 max pool, 3 units, 128 inside, 256
stage2  28 x 28     4 units, 256 inside, 512
stage3  14 x 14     6 units, 512 inside, 1024
stage4  7 x 7       3 units, 1024 inside, 2048
======  ==========  ===============================================

Departures: none; the weights people load for 101 layers are of 8 channels a path, and of 64 paths.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from striate.core.paper import Paper
from striate.models.cifar_resnet import CifarResNet
from striate.models.registry import register
from striate.models.resnet import Place, Residual, ResNet, ResNetSpec, Shortcut, make_projection, make_stack
from striate.nn.conv import make_conv2d

PAPER = Paper(
    authors="Xie et al.",
    year=2016,
    month=11,
    title="Aggregated Residual Transformations for Deep Neural Networks",
    ref="arXiv 1611.05431",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatedSpec:
    """1x1, 3x3 in groups, 1x1 (Figure 3 c).

    Args:
        paths: The paper's cardinality C.
        path_width: Channels of a path in a stage of width 64, the paper's d; other stages in proportion.
        shortcut: What stands beside them.
    """

    paths: int
    path_width: int
    shortcut: Shortcut = make_projection

    def __post_init__(self) -> None:
        if min(self.paths, self.path_width) < 1:
            raise ValueError(f"a unit needs a path and a path a channel; got {self}")

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The three."""
        inner = self.paths * (self.path_width * place.width // 64)
        return [
            make_conv2d(place.channels, inner, 1),
            make_conv2d(inner, inner, 3, stride=place.stride, groups=self.paths),
            make_conv2d(inner, 4 * place.width, 1),
        ]

    def build(self, place: Place) -> nn.Module:
        """A unit from ``place.channels`` to ``4 * place.width`` channels."""
        return Residual(make_stack(self.convs(place), place.eps), self.shortcut(place, 4 * place.width))


IMAGENET = {  # Tables 1 and 4
    "resnext50_32x4d": ResNetSpec(unit=AggregatedSpec(paths=32, path_width=4), blocks=(3, 4, 6, 3)),
    "resnext101_32x8d": ResNetSpec(unit=AggregatedSpec(paths=32, path_width=8), blocks=(3, 4, 23, 3)),
    "resnext101_64x4d": ResNetSpec(unit=AggregatedSpec(paths=64, path_width=4), blocks=(3, 4, 23, 3)),
}
IMAGENET_TINY = ResNetSpec(unit=AggregatedSpec(paths=2, path_width=32), blocks=(1, 1, 1, 1), stem_width=4)
CIFAR = {  # Table 7
    "resnext29_8x64d": ResNetSpec(unit=AggregatedSpec(paths=8, path_width=64), blocks=(3, 3, 3)),
    "resnext29_16x64d": ResNetSpec(unit=AggregatedSpec(paths=16, path_width=64), blocks=(3, 3, 3)),
}
CIFAR_TINY = ResNetSpec(unit=AggregatedSpec(paths=2, path_width=32), blocks=(1, 1, 1), stem_width=4)

register(ResNet, IMAGENET, tiny=IMAGENET_TINY, paper=PAPER, input=(3, 224, 224), classes=1000, family=__name__)
register(CifarResNet, CIFAR, tiny=CIFAR_TINY, paper=PAPER, input=(3, 32, 32), classes=10, family=__name__)
