"""Inception v3: inception modules with factorised kernels: n x n becomes 1 x n and n x 1.

Source: Szegedy et al. 2015, Table 1, Figures 5 to 7 and 10.

======  ==========  ========================================================
stage   output      layers
======  ==========  ========================================================
stem    147 x 147   3x3 convolutions, 32 (stride 2), 32, 64
stage1  71 x 71     3x3 max pool; convolutions 1x1, 80 and 3x3, 192
stage2  35 x 35     3x3 max pool; 3 modules, 288
stage3  17 x 17     reduction, 768; 4 modules of 1x7 and 7x1
stage4  8 x 8       reduction, 1280; 2 modules that end in 1x3 and 3x1, 2048
======  ==========  ========================================================

Departures, all from the published weights (the authors'): after the first pool, one 1x1 and one 3x3 convolution and
a second pool stand for Table 1's three 3x3 convolutions; modules of stage2 keep one 5x5 kernel. Keras' weights need
``average="image"``. The auxiliary classifier takes images from 299 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, final, get_args

from torch import nn

from striate.core.paper import Paper
from striate.models.googlenet import Branches
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm
from striate.nn.heads import Head, global_pool, pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Szegedy et al.",
    year=2015,
    month=12,
    title="Rethinking the Inception Architecture for Computer Vision",
    ref="arXiv 1512.00567",
)
Average = Literal["window", "image"]
"""What a 3x3 average is over at the image's edge.

- ``"window"``: all nine, zeros among them (PyTorch).
- ``"image"``: those inside the image (TensorFlow).
"""


class Conv(NamedTuple):
    """A convolution; one that reduces the resolution is not padded."""

    width: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1


class Pool(NamedTuple):
    """A 3x3 pool: the average at stride 1, the greatest at stride 2."""

    stride: int


class Fork(NamedTuple):
    """Two convolutions of the same maps, side by side."""

    left: Conv
    right: Conv


Branch = tuple[Conv | Pool | Fork, ...]
Module = tuple[Branch, ...]


def figure_5(pooled: int) -> Module:
    """Two small kernels with the receptive field of a large one.

    Args:
        pooled: Channels of the projection after the pool.
    """
    return (
        (Conv(64),),
        (Conv(48), Conv(64, 5)),
        (Conv(64), Conv(96, 3), Conv(96, 3)),
        (Pool(1), Conv(pooled)),
    )


def figure_6(width: int) -> Module:
    """Kernels of 7x7 in rows and columns.

    Args:
        width: Channels inside a branch.
    """
    across, down = (1, 7), (7, 1)
    return (
        (Conv(192),),
        (Conv(width), Conv(width, across), Conv(192, down)),
        (Conv(width), Conv(width, down), Conv(width, across), Conv(width, down), Conv(192, across)),
        (Pool(1), Conv(192)),
    )


FORK = Fork(Conv(384, (1, 3)), Conv(384, (3, 1)))
FIGURE_7: Module = (
    (Conv(320),),
    (Conv(384), FORK),
    (Conv(448), Conv(384, 3), FORK),
    (Pool(1), Conv(192)),
)
FIGURE_10: Module = (
    (Conv(384, 3, 2),),
    (Conv(64), Conv(96, 3), Conv(96, 3, 2)),
    (Pool(2),),
)
LAST_REDUCTION: Module = (
    (Conv(192), Conv(320, 3, 2)),
    (Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2)),
    (Pool(2),),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuxiliarySpec:
    """Spec of the auxiliary classifier, of use in training alone (section 4 and Figure 8).

    Args:
        width: Maps of its 1x1 convolution.
        side: Side of its second convolution's kernel.
        hidden: Maps of that convolution.
    """

    width: int = 128
    side: int = 5
    hidden: int = 768

    @property
    def positions(self) -> int:
        """The least positions along each side of the maps that it taps."""
        return 5 + 3 * (self.side - 1)

    def build(self, channels: int, classes: int, eps: float) -> Head:
        """A classifier of maps with `channels`."""
        return Head(
            {
                "before": nn.AvgPool2d(5, stride=3),
                "conv1": ConvNorm(channels, self.width, 1, eps=eps),
                "conv2": ConvNorm(self.width, self.hidden, self.side, padding="valid", eps=eps),
                "pool": global_pool(),
                "logits": nn.Linear(self.hidden, classes),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InceptionV3Spec:
    """Table 1 as published.

    Args:
        stem: Channels of the stem's three convolutions and of stage1's two.
        modules: The modules of stage2 and of every stage after it.
        eps: Added to the variance by every batch normalisation.
        average: What an average pool is over at the image's edge.
        dropout: Chance that a pooled feature is dropped in training.
        aux: Spec of the auxiliary classifier, which taps the last stage but one; None builds none.
    """

    stem: tuple[int, int, int, int, int] = (32, 32, 64, 80, 192)
    modules: tuple[tuple[Module, ...], ...] = (
        (figure_5(32), figure_5(64), figure_5(64)),
        (FIGURE_10, figure_6(128), figure_6(160), figure_6(160), figure_6(192)),
        (LAST_REDUCTION, FIGURE_7, FIGURE_7),
    )
    eps: float = 1e-3
    average: Average = "window"
    dropout: float = 0.5
    aux: AuxiliarySpec | None = None

    def __post_init__(self) -> None:
        if len(self.stem) != 5 or min(self.stem) < 1 or len(self.modules) < 2 or not all(self.modules):
            raise ValueError(f"five convolutions come before at least two stages of modules; got {self}")
        if self.average not in get_args(Average) or not 0 <= self.dropout < 1:
            raise ValueError(f"average is one of {', '.join(get_args(Average))}, dropout from 0 to below 1; got {self}")


VARIANTS = {"inception_v3": InceptionV3Spec(aux=AuxiliarySpec())}
TINY = InceptionV3Spec(
    stem=(2, 2, 3, 3, 4),
    modules=(
        (((Conv(2),), (Conv(2), Conv(3, 5)), (Pool(1), Conv(2))),),
        (((Conv(3, 3, 2),), (Pool(2),)), ((Conv(3),), (Conv(2), Conv(2, (1, 7)), Conv(3, (7, 1))))),
        (((Conv(3, 3, 2),), (Pool(2),)), ((Conv(2), Fork(Conv(3, (1, 3)), Conv(3, (3, 1)))),)),
    ),
    aux=AuxiliarySpec(width=2, side=1, hidden=3),
)


def module(channels: int, rows: Module, *, eps: float, average: Average) -> tuple[nn.Module, int]:
    """A module, and its channels.

    Args:
        channels: Channels in.
        rows: Its branches.
        eps: Added to the variance by every batch normalisation.
        average: What an average pool is over at the image's edge.
    """
    built = [branch(channels, each, eps=eps, average=average) for each in rows]
    return Branches(*(each for each, _ in built)), sum(width for _, width in built)


def branch(channels: int, steps: Branch, *, eps: float, average: Average) -> tuple[nn.Module, int]:
    """A branch, its parts called ``conv1``, ``conv2``, ... , ``pool`` and ``fork``, and its channels."""
    parts: dict[str, nn.Module] = {}
    for step in steps:
        number = sum(name.startswith("conv") for name in parts) + 1
        match step:
            case Conv():
                parts[f"conv{number}"] = convolution(channels, step, eps)
                channels = step.width
            case Pool(stride=1):
                parts["pool"] = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=average == "window")
            case Pool():
                parts["pool"] = nn.MaxPool2d(3, stride=step.stride)
            case Fork():
                parts["fork"] = Branches(*(convolution(channels, each, eps) for each in step))
                channels = step.left.width + step.right.width
    return sequence(**parts), channels


def convolution(channels: int, row: Conv, eps: float) -> nn.Module:
    """The convolution of a row, normalised and rectified."""
    padding = "symmetric" if row.stride == 1 else "valid"
    return ConvNorm(channels, row.width, row.kernel, stride=row.stride, padding=padding, eps=eps)


def stem(in_channels: int, widths: tuple[int, int, int, int, int], eps: float) -> tuple[nn.Module, nn.Module]:
    """Stem and stage1: images to the third of `widths`, and that to the fifth."""
    w1, w2, w3, w4, w5 = widths
    first = sequence(
        conv1=ConvNorm(in_channels, w1, 3, stride=2, padding="valid", eps=eps),
        conv2=ConvNorm(w1, w2, 3, padding="valid", eps=eps),
        conv3=ConvNorm(w2, w3, 3, eps=eps),
    )
    second = sequence(
        pool=nn.MaxPool2d(3, stride=2),
        conv4=ConvNorm(w3, w4, 1, eps=eps),
        conv5=ConvNorm(w4, w5, 3, padding="valid", eps=eps),
    )
    return first, second


def least_side(stages: int, positions: int = 1) -> int:
    """The side of an image that leaves `positions` after `stages` stages of modules, as nothing strided is padded.

    Example:
        >>> least_side(3), least_side(2, positions=17)
        (75, 299)
    """
    side = positions
    for _ in range(stages):  # a reduction each, and the pool before the first
        side = 2 * side + 1
    side = 2 * (side + 2) + 1  # conv5, pool
    return 2 * (side + 2) + 1  # conv2, conv1


@final
class InceptionV3(ImageModel):
    """The network of Table 1.

    Args:
        spec: Modules and widths.
    """

    def __init__(self, spec: InceptionV3Spec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(
            in_channels=in_channels,
            classes=classes,
            min_side=least_side(len(spec.modules)),
            aux_side=spec.aux and least_side(len(spec.modules) - 1, spec.aux.positions),
        )
        first, second = stem(in_channels, spec.stem, spec.eps)
        channels = spec.stem[4]
        self.add_stage("stem", first, spec.stem[2], stride=2)
        self.add_stage("stage1", second, channels, stride=2)
        for number, modules in enumerate(spec.modules, start=2):
            parts: dict[str, nn.Module] = {"pool": nn.MaxPool2d(3, stride=2)} if number == 2 else {}
            for index, rows in enumerate(modules, start=1):
                parts[f"unit{index}"], channels = module(channels, rows, eps=spec.eps, average=spec.average)
            self.add_stage(f"stage{number}", sequence(**parts), channels, stride=2)
        self.head = pooled_head(channels, classes, dropout=spec.dropout)
        if spec.aux is not None:
            tapped = self.stage_table[-2]
            self.add_aux(tapped.name, spec.aux.build(tapped.channels, classes, spec.eps))
        he(self)


register(InceptionV3, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 299, 299), classes=1000)
