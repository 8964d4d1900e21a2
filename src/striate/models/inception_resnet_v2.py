"""Inception-ResNet v2: inception modules as residual functions, scaled down so that hundreds of layers train stably.

Source: Szegedy et al. 2016, Figure 15 with Figures 3, 7, 16, 17, 18 and 19; scaling from section 3.3.

======  ==========  ====================================================================
stage   output      layers
======  ==========  ====================================================================
stem    147 x 147   3x3 convolutions, 32 (stride 2), 32, 64
stage1  71 x 71     3x3 max pool; convolutions 1x1, 80 and 3x3, 192
stage2  35 x 35     3x3 max pool; 1 plain module, 10 residual ones (A), 320
stage3  17 x 17     reduction; 20 residual modules (B), 1088
stage4  8 x 8       reduction; 10 residual modules (C), 2080; 1x1 convolution, 1536
======  ==========  ====================================================================

Departures, all from the published weights (the authors'): the stem is that of Inception v3 with one plain module in
place of Figure 3; there are twice as many residual modules as in Figure 15, with other widths; residuals are scaled by
0.17, 0.1 and 0.2, and the last one neither scaled nor rectified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.inception_v3 import Conv, Module, Pool, least_side, module, stem
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Szegedy et al.",
    year=2016,
    month=2,
    title="Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    ref="arXiv 1602.07261",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A stage: one module that sets the width, then residual modules of one kind.

    Args:
        first: The module that sets the width.
        residual: The branches of the others, before the 1x1 convolution that restores the width.
        count: Their number.
        scale: What their residuals are multiplied by.
    """

    first: Module
    residual: Module
    count: int
    scale: float


NO_TTA: Module = (
    (Conv(96),),
    (Conv(48), Conv(64, 5)),
    (Conv(64), Conv(96, 3), Conv(96, 3)),
    (Pool(1), Conv(64)),
)
A: Module = (  # Figure 16
    (Conv(32),),
    (Conv(32), Conv(32, 3)),
    (Conv(32), Conv(48, 3), Conv(64, 3)),
)
REDUCTION_A: Module = (  # Figure 7
    (Conv(384, 3, 2),),
    (Conv(256), Conv(256, 3), Conv(384, 3, 2)),
    (Pool(2),),
)
B: Module = (  # Figure 17
    (Conv(192),),
    (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))),
)
REDUCTION_B: Module = (  # Figure 18
    (Conv(256), Conv(384, 3, 2)),
    (Conv(256), Conv(288, 3, 2)),
    (Conv(256), Conv(288, 3), Conv(320, 3, 2)),
    (Pool(2),),
)
C: Module = (  # Figure 19
    (Conv(192),),
    (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InceptionResNetV2Spec:
    """Figure 15 as published.

    Args:
        stem: Channels of the stem's three convolutions and of stage1's two.
        groups: stage2 and every stage after it.
        last: Channels of the last convolution.
        eps: Added to the variance by every batch normalisation.
        dropout: Chance that a pooled feature is dropped in training.
    """

    stem: tuple[int, int, int, int, int] = (32, 32, 64, 80, 192)
    groups: tuple[Group, ...] = (
        Group(first=NO_TTA, residual=A, count=10, scale=0.17),
        Group(first=REDUCTION_A, residual=B, count=20, scale=0.1),
        Group(first=REDUCTION_B, residual=C, count=10, scale=0.2),
    )
    last: int = 1536
    eps: float = 1e-3
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if len(self.stem) != 5 or min(*self.stem, self.last) < 1 or not self.groups:
            raise ValueError(f"five convolutions come before at least one stage of modules; got {self}")
        if min(group.count for group in self.groups) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"every stage needs a residual module, dropout is from 0 to below 1; got {self}")


VARIANTS = {"inception_resnet_v2": InceptionResNetV2Spec()}
TINY = InceptionResNetV2Spec(
    stem=(2, 2, 3, 3, 4),
    groups=(
        Group(first=((Conv(2),), (Pool(1), Conv(3))), residual=((Conv(2), Conv(3, 3)),), count=1, scale=0.17),
        Group(first=((Conv(3, 3, 2),), (Pool(2),)), residual=((Conv(2), Conv(3, (1, 7))),), count=1, scale=0.1),
        Group(first=((Conv(3, 3, 2),), (Pool(2),)), residual=((Conv(2), Conv(3, (3, 1))),), count=2, scale=0.2),
    ),
    last=16,
)


@final
class ScaledResidual(nn.Module):
    """A module's maps, brought back to the width they came from, scaled, and added to them (Figure 20).

    Shape:
        ``[n, channels, h, w]`` to the same.
    """

    def __init__(self, channels: int, branches: Module, *, scale: float, eps: float, act: nn.Module) -> None:
        super().__init__()
        self.branches, width = module(channels, branches, eps=eps, average="image")
        self.up = nn.Conv2d(width, channels, 1)
        self.scale = scale
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Add a fraction of the residual, then activate."""
        return self.act(x + self.scale * self.up(self.branches(x)))


@final
class InceptionResNetV2(ImageModel):
    """The network of Figure 15.

    Args:
        spec: Modules and widths.
    """

    def __init__(self, spec: InceptionResNetV2Spec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=least_side(len(spec.groups)))
        first, second = stem(in_channels, spec.stem, spec.eps)
        channels = spec.stem[4]
        self.add_stage("stem", first, spec.stem[2], stride=2)
        self.add_stage("stage1", second, channels, stride=2)
        for number, group in enumerate(spec.groups, start=2):
            parts: dict[str, nn.Module] = {"pool": nn.MaxPool2d(3, stride=2)} if number == 2 else {}
            parts["unit1"], channels = module(channels, group.first, eps=spec.eps, average="image")
            top = number == len(spec.groups) + 1
            for index in range(group.count):
                final = top and index == group.count - 1
                scale, act = (1.0, nn.Identity()) if final else (group.scale, nn.ReLU(inplace=True))
                unit = ScaledResidual(channels, group.residual, scale=scale, eps=spec.eps, act=act)
                parts[f"unit{index + 2}"] = unit
            if top:
                parts["last"] = ConvNorm(channels, spec.last, 1, eps=spec.eps)
                channels = spec.last
            self.add_stage(f"stage{number}", sequence(**parts), channels, stride=2)
        self.head = pooled_head(channels, classes, dropout=spec.dropout)
        he(self)


register(InceptionResNetV2, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 299, 299), classes=1000)
