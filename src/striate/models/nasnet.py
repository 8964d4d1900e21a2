"""NASNet-A: cells found by search on small images, stacked to make networks for large images.

Source: Zoph et al. 2017, section 3 and Figures 2 and 4; N and P are those of "NASNet-A (N @ P)".

======  ==========  ==============================================================  ============
stage   output      cells (4 @ 1056)                                                hands on
======  ==========  ==============================================================  ============
stem    111 x 111   3x3 convolution, 32, stride 2, no padding                       32
stage1  56 x 56     1 reduction cell, P / 24                                        P / 16
stage2  28 x 28     1 reduction cell, N normal cells, P / 4                         P / 2
stage3  14 x 14     1 reduction cell, N normal cells, P / 2                         P
stage4  7 x 7       1 reduction cell, N normal cells, P                             P
======  ==========  ==============================================================  ============

A cell reads the outputs of the two cells before it. Hence a stage hands on two maps side by side: what came before its
last cell, in the sides and channels in which it will be read, then what came out of that cell. The last stage hands on
the latter alone, rectified.

Departures: as in the authors' code, a normal cell also joins its older input, a reduction cell its second sum. Their
ScheduledDropPath and auxiliary head, of use in long training alone, are left out; no published file has the head. What
the authors' pools pad counts for nothing (``max_padding = avg_padding = "same"``). The ports of their weights differ in
that where sides are halved, Keras' in both pools (``"zeros"``), timm's in the average; the variants follow the ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, SeparableConv, make_conv2d
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.pool import PoolPadding, avg_pool2d, check_pool_padding, max_pool2d

PAPER = Paper(
    authors="Zoph et al.",
    year=2017,
    month=7,
    title="Learning Transferable Architectures for Scalable Image Recognition",
    ref="arXiv 1707.07012",
)

Op = Literal["sep 3", "sep 5", "sep 7", "max 3", "avg 3", "same"]
"""An operation of the search space, with the side of its window."""

Step = tuple[Op, str]
"""An operation and the map that it reads."""


class Cell(NamedTuple):
    """A drawing of Figure 4.

    A map of the cell is named ``h`` (the output of the cell before), ``p`` (that of the cell before it), or by the
    number of the pair whose sum it is.
    """

    stride: int
    """Of every operation on ``h`` or ``p``."""
    pairs: tuple[tuple[Step, Step], ...]
    """Two operations each, left and right, whose results are added."""
    joined: tuple[str, ...]
    """The maps that make up the output: all that nothing in the cell reads, and one that something does."""


NORMAL = Cell(
    stride=1,
    pairs=(
        (("sep 5", "h"), ("sep 3", "p")),
        (("sep 5", "p"), ("sep 3", "p")),
        (("avg 3", "h"), ("same", "p")),
        (("avg 3", "p"), ("avg 3", "p")),
        (("sep 3", "h"), ("same", "h")),
    ),
    joined=("p", "1", "2", "3", "4", "5"),
)
REDUCTION = Cell(
    stride=2,
    pairs=(
        (("sep 5", "h"), ("sep 7", "p")),
        (("max 3", "h"), ("sep 7", "p")),
        (("avg 3", "h"), ("sep 5", "p")),
        (("avg 3", "1"), ("same", "2")),
        (("sep 3", "1"), ("max 3", "h")),
    ),
    joined=("2", "3", "4", "5"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NASNetSpec:
    """A network of section 3.

    Args:
        repeats: Normal cells a stage, N.
        penultimate: Channels of the last cell's output, P; a multiple of 96.
        stem_width: Channels of the first convolution.
        lookback: What the cell after a reduction cell reads for its older input: 1 the reduction cell's input, 2 its
            older input.
        max_padding: How the max pools of reduction cells pad.
        avg_padding: How their strided average pools pad.
        eps: Added to the variance by every batch normalisation.
        dropout: Chance that a pooled feature is dropped in training.
    """

    repeats: int
    penultimate: int
    stem_width: int
    lookback: int = 1
    max_padding: PoolPadding = "same"
    avg_padding: PoolPadding = "same"
    eps: float = 1e-3
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_pool_padding(self.max_padding)
        check_pool_padding(self.avg_padding)
        if min(self.repeats, self.penultimate, self.stem_width) < 1 or self.penultimate % 96:
            raise ValueError(f"every stage needs a cell, and penultimate is a multiple of 96; got {self}")
        if self.lookback not in (1, 2) or not 0 <= self.dropout < 1:
            raise ValueError(f"lookback is 1 or 2, dropout at least 0 and below 1; got {self}")


VARIANTS = {  # Tables 2 and 3
    "nasnet_mobile": NASNetSpec(repeats=4, penultimate=1056, stem_width=32, max_padding="zeros", avg_padding="zeros"),
    "nasnet_large": NASNetSpec(repeats=6, penultimate=4032, stem_width=96, lookback=2, avg_padding="zeros"),
}
INPUTS = {"nasnet_large": (3, 331, 331)}
ALIASES = {"nasnetalarge": "nasnet_large"}
TINY = NASNetSpec(repeats=1, penultimate=96, stem_width=8, lookback=2)


def squeeze(channels: int, width: int, eps: float) -> nn.Sequential:
    """An input of a cell, brought to the cell's width: rectifier, 1x1 convolution, normalisation."""
    return nn.Sequential(nn.ReLU(), ConvNorm(channels, width, 1, eps=eps, act=None))


@final
class Halve(nn.Module):
    """An older input, brought to half the sides and to the cell's width, a half from each of two shifted grids.

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, ceil(h / 2), ceil(w / 2)]``.
    """

    def __init__(self, channels: int, width: int, eps: float) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.conv1 = make_conv2d(channels, width // 2, 1)
        self.conv2 = make_conv2d(channels, width // 2, 1)
        self.norm = nn.BatchNorm2d(width // 2 * 2, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Read every second position, and every second one from the next position down and right."""
        x = self.act(x)
        shifted = F.pad(x[:, :, 1::2, 1::2], (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return self.norm(torch.cat((self.conv1(x[:, :, ::2, ::2]), self.conv2(shifted)), 1))


def make_separable(channels: int, width: int, window: int, stride: int, eps: float) -> nn.Sequential:
    """Rectifier, separable convolution, normalisation, all twice; the first takes the stride."""
    layers = nn.Sequential()
    for place, (before, step) in enumerate([(channels, stride), (width, 1)], start=1):
        layers.add_module(f"act{place}", nn.ReLU(inplace=place == 2))  # other operations read the cell's maps too
        layers.add_module(f"conv{place}", SeparableConv(before, width, window, stride=step, padding="same"))
        layers.add_module(f"norm{place}", nn.BatchNorm2d(width, eps=eps))
    return layers


def operation(op: Op, channels: int, width: int, stride: int, spec: NASNetSpec) -> nn.Module:
    """One operation of a cell."""
    name, _, window = op.partition(" ")
    if name == "sep":
        return make_separable(channels, width, int(window), stride, spec.eps)
    if name == "same":
        return nn.Identity()
    if name == "max":
        return max_pool2d(int(window), stride=stride, padding=spec.max_padding if stride > 1 else "same")
    return avg_pool2d(int(window), stride=stride, padding=spec.avg_padding if stride > 1 else "same")


@final
class CellUnit(nn.Module):
    """A cell built from its drawing.

    Args:
        cell: The drawing.
        channels: Of the cell's input, ``h``.
        width: Of every operation's output.
        older: From the older input to ``p``.
        older_channels: Of ``p``.
        spec: The network's other settings.

    Shape:
        ``[n, channels, h, w]`` and any older map to ``[n, len(joined) * width, h / stride, w / stride]``.
    """

    def __init__(
        self, cell: Cell, channels: int, width: int, older: nn.Module, older_channels: int, spec: NASNetSpec
    ) -> None:
        super().__init__()
        self.cell = cell
        self.newer = squeeze(channels, width, spec.eps)
        self.older = older
        read = {"h": width, "p": older_channels}
        for number, pair in enumerate(cell.pairs, start=1):
            for side, (op, name) in zip(("left", "right"), pair, strict=True):
                stride = cell.stride if name in read else 1
                self.add_module(f"{side}{number}", operation(op, read.get(name, width), width, stride, spec))

    def forward(self, newer: Tensor, older: Tensor) -> Tensor:
        """Figure 4, from bottom to top."""
        maps = {"h": self.newer(newer), "p": self.older(older)}
        for number, ((_, left), (_, right)) in enumerate(self.cell.pairs, start=1):
            sides = self.get_submodule(f"left{number}"), self.get_submodule(f"right{number}")
            maps[str(number)] = sides[0](maps[left]) + sides[1](maps[right])
        return torch.cat([maps[name] for name in self.cell.joined], 1)


@final
class FirstCell(nn.Module):
    """Stage1: a reduction cell that reads the stem for both inputs, and the stem as the next cell will read it.

    Shape:
        ``[n, channels, h, w]`` to ``[n, 2 * width + 4 * width, ceil(h / 2), ceil(w / 2)]``.
    """

    def __init__(self, channels: int, width: int, spec: NASNetSpec) -> None:
        super().__init__()
        self.older = Halve(channels, 2 * width, spec.eps)
        self.reduction = CellUnit(REDUCTION, channels, width, nn.Identity(), channels, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Both maps side by side."""
        return torch.cat((self.older(x), self.reduction(x, x)), 1)


@final
class CellRow(nn.Module):
    """A reduction cell, then normal cells; each reads the two outputs before it.

    Args:
        older: Channels of the older of the two maps that are handed in.
        newer: Channels of the newer.
        widths: Of the reduction cell and of the normal ones.
        lookback: See `NASNetSpec`.
        last: Whether the newest map alone is handed on.
        spec: The network's other settings.

    Shape:
        ``[n, older + newer, h, w]`` to ``[n, channels, ceil(h / 2), ceil(w / 2)]``.
    """

    def __init__(
        self, older: int, newer: int, widths: tuple[int, int], lookback: int, last: bool, spec: NASNetSpec
    ) -> None:
        super().__init__()
        self.border = older
        self.lookback = lookback
        reduced, width = widths
        fits = nn.Identity() if older == reduced else squeeze(older, reduced, spec.eps)
        self.reduction = CellUnit(REDUCTION, newer, reduced, fits, reduced, spec)
        before, now = newer if lookback == 1 else older, len(REDUCTION.joined) * reduced
        self.cells = nn.ModuleList()
        for index in range(spec.repeats):
            fits = squeeze(before, width, spec.eps) if index else Halve(before, width, spec.eps)
            self.cells.append(CellUnit(NORMAL, now, width, fits, width, spec))
            before, now = now, len(NORMAL.joined) * width
        self.handed = (before, now)
        self.act = nn.ReLU(inplace=True) if last else None

    def forward(self, x: Tensor) -> Tensor:
        """Figure 2, a reduction cell and the normal cells above it."""
        older, newer = x[:, : self.border], x[:, self.border :]
        reduced = self.reduction(newer, older)
        older, newer = newer if self.lookback == 1 else older, reduced
        for cell in self.cells:
            older, newer = newer, cell(newer, older)
        return torch.cat((older, newer), 1) if self.act is None else self.act(newer)


@final
class NASNet(ImageModel):
    """The network of Figure 2, right.

    Args:
        spec: Repeats, channels and cells.
    """

    def __init__(self, spec: NASNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=3)
        stem = ConvNorm(in_channels, spec.stem_width, 3, stride=2, padding="valid", eps=spec.eps, act=None)
        self.add_stage("stem", stem, spec.stem_width, stride=2)
        width = spec.penultimate // 24
        self.add_stage("stage1", FirstCell(spec.stem_width, width // 4, spec), width // 2 + width, stride=2)
        older, newer = width // 2, width
        rows = [(width // 2, width), (2 * width, 2 * width), (4 * width, 4 * width)]
        for number, widths in enumerate(rows, start=2):
            last = number == 4
            row = CellRow(older, newer, widths, spec.lookback if number > 2 else 1, last, spec)
            older, newer = row.handed
            self.add_stage(f"stage{number}", row, newer if last else older + newer, stride=2)
        self.head = pooled_head(newer, classes, dropout=spec.dropout)
        he(self)


register(NASNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000, inputs=INPUTS, aliases=ALIASES)
