"""FCN: a classifier whose linear layers run as convolutions at every position, with learned upsampling.

Source: Long, Shelhamer, Darrell 2014, sections 4.1 to 4.3, on VGG-16.

================  =========  ===============================================================
stage or part     500 x 500  layers
================  =========  ===============================================================
stem              698 x 698  2 convolutions, 64, the first with 100 px of zeros around
stage1            349 x 349  2x2 max pool, 2, 128
stage2            175 x 175  2x2 max pool, 3, 256
stage3            88 x 88    2x2 max pool, 3, 512
stage4            44 x 44    2x2 max pool, 3, 512
stage5            16 x 16    2x2 max pool, fc6 (7x7, 4096), fc7 (1x1, 4096)
head.score        16 x 16    1x1 convolution, a map a class
head.steps        34 x 34    FCN-16s and 8s: twice as fine, plus the scores of stage3's pooled maps (pool4)
..                70 x 70    FCN-8s: twice as fine, plus the scores of stage2's pooled maps (pool3)
head.up           500 x 500  32, 16 or 8 times as fine, cropped to the image
================  =========  ===============================================================

Every map is a lattice of positions over the image, and what is added must lie on the same one: the offsets of the
crops (19; 5 and 27; 5, 9 and 31 px) follow from `Lattice`.

Departures: none in the function. The last upsampling can be trained here as the others can; the authors hold it fixed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import DenseModel
from striate.models.registry import register
from striate.models.vgg import D
from striate.nn.decoder import Decoder
from striate.nn.init import he
from striate.nn.pool import CeilMaxPool2d

PAPER = Paper(
    authors="Long, Shelhamer, Darrell",
    year=2014,
    month=11,
    title="Fully Convolutional Networks for Semantic Segmentation",
    ref="arXiv 1411.4038",
)
BORDER = 100  # zeros around the image, so that fc6 finds its 7 x 7 positions whatever the image's size
GRID = 7  # side of fc6


@dataclass(frozen=True, slots=True, kw_only=True)
class FCNSpec:
    """One network of section 4.2.

    Args:
        skips: Stages whose pooled maps are scored too, from the deepest.
        kernels: A row of kernel sides for conv1_x, conv2_x, ...
        widths: Maps of conv1_x, conv2_x, ...
        hidden: Maps of fc6 and of fc7.
        dropout: Chance that a unit of fc6 or fc7 is dropped in training.
    """

    skips: tuple[str, ...]
    kernels: tuple[tuple[int, ...], ...] = D
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if len(self.kernels) != len(self.widths) or not all(self.kernels):
            raise ValueError(f"every group needs a width and a convolution; got {self}")
        if min(*self.widths, self.hidden) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"widths are at least 1, dropout at least 0 and below 1; got {self}")
        in_turn = tuple(f"stage{number}" for number in range(len(self.widths) - 2, 0, -1))
        if self.skips != in_turn[: len(self.skips)]:
            raise ValueError(f"skips come in turn from the deepest, {', '.join(in_turn)}; got {self.skips}")


VARIANTS = {
    "fcn32s": FCNSpec(skips=()),
    "fcn16s": FCNSpec(skips=("stage3",)),
    "fcn8s": FCNSpec(skips=("stage3", "stage2")),
}
TINY = FCNSpec(skips=("stage3", "stage2"), kernels=((3,), (3,), (3,), (3,), (3,)), widths=(4, 4, 4, 4, 4), hidden=8)


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where a map's positions lie along one side of the image: position i has its centre at ``first + i step``.

    Args:
        first: Centre of position 0, in pixels.
        step: From one centre to the next.
    """

    first: float = 0.0
    step: float = 1.0

    def window(self, kernel: int, *, stride: int = 1, before: int = 0) -> Self:
        """After a window slid over the map, `before` zeros in front of it."""
        return type(self)(self.first + ((kernel - 1) / 2 - before) * self.step, self.step * stride)

    def finer(self, factor: int) -> Self:
        """After a transposed convolution with a kernel of twice `factor`."""
        step = self.step / factor
        return type(self)(self.first - (2 * factor - 1) / 2 * step, step)

    def offset(self, other: Lattice) -> int:
        """Position of this lattice on which position 0 of `other` lies."""
        places = (other.first - self.first) / self.step
        assert self.step == other.step
        assert places == int(places)
        return int(places)


def make_conv_relu(channels: int, width: int, kernel: int, border: int) -> nn.Sequential:
    """A convolution with `border` zeros around its maps, and a rectifier; parts named as VGG's."""
    conv = nn.Conv2d(channels, width, kernel, padding=border)
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, act=nn.ReLU(inplace=True))
    return nn.Sequential(parts)


def bilinear(classes: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution that begins as bilinear interpolation to `factor` times the resolution (section 3.3).

    Shape:
        ``[n, classes, h, w]`` to ``[n, classes, (h + 1) factor, (w + 1) factor]``.
    """
    layer = nn.ConvTranspose2d(classes, classes, 2 * factor, stride=factor, bias=False)
    ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[torch.arange(classes), torch.arange(classes)] = torch.outer(ramp, ramp)
    return layer


def score(channels: int, classes: int) -> nn.Conv2d:
    """A 1x1 convolution that begins at zero (section 4.1)."""
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def cropped(maps: Tensor, offset: int, height: int, width: int) -> Tensor:
    """Crop every map to this size, starting at `offset` in both directions."""
    return maps[:, :, offset : offset + height, offset : offset + width]


@final
class Fusion(nn.Module):
    """Scores made twice as fine, plus those of a skip's pooled maps.

    Args:
        channels: Channels of the skip.
        classes: Maps of scores.
        offset: Position of the pooled skip on which the finer scores begin.
    """

    def __init__(self, channels: int, classes: int, offset: int) -> None:
        super().__init__()
        self.up = bilinear(classes, 2)
        self.pool = CeilMaxPool2d(2, stride=2)
        self.score = score(channels, classes)
        self.offset = offset

    def forward(self, scores: Tensor, skip: Tensor) -> Tensor:
        """Add where both lie on the same positions."""
        scores = self.up(scores)
        return scores + cropped(self.score(self.pool(skip)), self.offset, scores.shape[2], scores.shape[3])

    def for_classes(self, classes: int) -> Fusion:
        """A fresh one for another number of classes."""
        return Fusion(self.score.in_channels, classes, self.offset)


@final
class Upsampling(Decoder):
    """Scores at the coarsest positions, made finer step by step, and cropped to the image.

    Args:
        skips: Channels of the stages whose pooled maps are scored too, from the deepest.
        deepest: The stage that is scored first.
        channels: Its channels.
        lattices: Of every stage's maps.
        classes: Maps of the output.
    """

    def __init__(
        self, skips: Mapping[str, int], deepest: str, channels: int, lattices: Mapping[str, Lattice], classes: int
    ) -> None:
        super().__init__((*tuple(skips)[::-1], deepest))
        lattice = lattices[deepest]
        self.score = score(channels, classes)
        self.steps = nn.ModuleDict()
        for name, width in skips.items():
            lattice = lattice.finer(2)
            offset = lattices[name].window(2, stride=2).offset(lattice)
            self.steps[name] = Fusion(width, classes, offset)
        self.factor = int(lattice.step)
        self.up = bilinear(classes, self.factor)
        self.offset = lattice.finer(self.factor).offset(Lattice())

    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Score, fuse, make finer, crop."""
        scores = self.score(maps[self.reads[-1]])
        for name, step in self.steps.items():
            scores = step(scores, maps[name])
        return cropped(self.up(scores), self.offset, *size)

    def replace_logits(self, classes: int) -> None:
        """Every layer of the head has one map per class, so all are initialised again."""
        like = self.score.weight
        for name, step in self.steps.items():
            assert isinstance(step, Fusion)
            self.steps[name] = step.for_classes(classes).to(like)
        self.score = score(self.score.in_channels, classes).to(like)
        self.up = bilinear(classes, self.factor).to(like)


@final
class FCN(DenseModel):
    """VGG's convolutions, its linear layers as convolutions, and upsampling.

    Args:
        spec: One network of section 4.2.
    """

    def __init__(self, spec: FCNSpec, *, classes: int = 21, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        channels, lattice, lattices = in_channels, Lattice().window(3, before=BORDER), {}
        for number, (kernels, width) in enumerate(zip(spec.kernels, spec.widths, strict=True)):
            stage = nn.Sequential()
            if number > 0:
                stage.add_module("pool", CeilMaxPool2d(2, stride=2))
                lattice = lattice.window(2, stride=2)
            for index, kernel in enumerate(kernels):
                border = BORDER if number == index == 0 else kernel // 2
                stage.add_module(f"conv{index + 1}", make_conv_relu(channels, width, kernel, border))
                channels = width
            name, stride = (f"stage{number}", 2) if number else ("stem", 1)
            self.add_stage(name, stage, channels, stride=stride)
            lattices[name] = lattice

        deepest = f"stage{len(spec.widths)}"
        dense: OrderedDict[str, nn.Module] = OrderedDict(
            pool=CeilMaxPool2d(2, stride=2),
            fc6=make_conv_relu(channels, spec.hidden, GRID, 0),
            drop6=nn.Dropout(spec.dropout),
            fc7=make_conv_relu(spec.hidden, spec.hidden, 1, 0),
            drop7=nn.Dropout(spec.dropout),
        )
        self.add_stage(deepest, nn.Sequential(dense), spec.hidden, stride=2)
        lattices[deepest] = lattice.window(2, stride=2).window(GRID)
        he(self)

        widths = {stage.name: stage.channels for stage in self.stage_table}
        skips = {name: widths[name] for name in spec.skips}
        self.head = Upsampling(skips, deepest, spec.hidden, lattices, classes)


register(FCN, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 500, 500), classes=21)
