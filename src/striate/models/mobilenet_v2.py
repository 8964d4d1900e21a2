"""MobileNet v2: inverted residuals: shortcuts connect narrow linear layers, and the layers between them are wide.

Source: Sandler et al. 2018, Table 2 and Figure 4.

======  ==========  ===================================================
stage   output      layers (width 1)
======  ==========  ===================================================
stem    112 x 112   3x3 convolution, 32, stride 2; 1 unit, 16
stage1  56 x 56     2 units, 24
stage2  28 x 28     3 units, 32
stage3  14 x 14     4 units, 64; 3 units, 96
stage4  7 x 7       3 units, 160; 1 unit, 320
head    7 x 7       1x1 convolution, 1280; average pool
======  ==========  ===================================================

Departures: channels are rounded to multiples of 8, and the last convolution does not shrink below 1280, as in every
published set of weights. TensorFlow's and Keras' need ``padding="same"``, and Keras' ``eps=1e-3`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, final

from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, Padding, check_padding
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Sandler et al.",
    year=2018,
    month=1,
    title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    ref="arXiv 1801.04381",
)

R = TypeVar("R")
"""A row of a paper's table."""


class Row(NamedTuple):
    """A row of Table 2, by the paper's letters."""

    t: int
    """Expansion: inner channels over channels in."""
    c: int
    """Channels out, at width 1."""
    n: int
    """Units."""
    s: int
    """Stride of the first unit."""


TABLE_2 = (
    Row(1, 16, 1, 1),
    Row(6, 24, 2, 2),
    Row(6, 32, 3, 2),
    Row(6, 64, 4, 2),
    Row(6, 96, 3, 1),
    Row(6, 160, 3, 2),
    Row(6, 320, 1, 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetV2Spec:
    """The network of Table 2 at some width.

    Args:
        rows: The units, in order.
        stem_width: Channels of the first convolution (at width 1).
        last_width: Channels of the last convolution (at width 1, and at all below).
        width: The multiplier of all other channels, above 0.
        padding: How strided convolutions pad.
        eps: Added to the variance by every batch normalisation.
        dropout: Chance that a pooled feature is dropped in training.
    """

    rows: tuple[Row, ...] = TABLE_2
    stem_width: int = 32
    last_width: int = 1280
    width: float = 1.0
    padding: Padding = "symmetric"
    eps: float = 1e-5
    dropout: float = 0.2

    def __post_init__(self) -> None:
        check_padding(self.padding)
        if not self.rows or min(min(row) for row in self.rows) < 1 or min(self.stem_width, self.last_width) < 1:
            raise ValueError(f"every row needs a unit and every unit a channel; got {self}")
        if self.width <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"width is above 0, dropout at least 0 and below 1; got {self}")


VARIANTS = {"mobilenet_v2": MobileNetV2Spec()}  # Table 2
ALIASES = {"mobilenetv2_100": "mobilenet_v2"}
TINY = MobileNetV2Spec(
    rows=(Row(1, 8, 1, 1), Row(2, 8, 2, 2), Row(2, 8, 1, 2), Row(2, 16, 1, 2), Row(2, 16, 1, 2)),
    stem_width=8,
    last_width=24,
)


def rounded(channels: float, multiple: int = 8) -> int:
    """The nearest multiple, at least `multiple` itself, and never more than a tenth below `channels`.

    Source:
        ``_make_divisible`` of the authors' TensorFlow code; torchvision's and Keras' networks round alike.

    Example:
        >>> rounded(24 * 0.35), rounded(32 * 0.75), rounded(96 * 1.4)
        (8, 24, 136)
    """
    near = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return near + multiple if near < 0.9 * channels else near


@final
class InvertedResidual(nn.Module):
    """Widen by a pointwise convolution, look around by a depthwise one, narrow linearly; add where shapes agree.

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, h / stride, w / stride]``.
    """

    def __init__(self, channels: int, width: int, *, expansion: int, stride: int, padding: Padding, eps: float) -> None:
        super().__init__()
        inner = channels * expansion
        self.residual = nn.Sequential()
        if expansion > 1:
            self.residual.add_module("expand", ConvNorm(channels, inner, 1, eps=eps, act=nn.ReLU6))
        depthwise = ConvNorm(inner, inner, 3, stride=stride, padding=padding, groups=inner, eps=eps, act=nn.ReLU6)
        self.residual.add_module("depthwise", depthwise)
        self.residual.add_module("project", ConvNorm(inner, width, 1, eps=eps, act=None))
        self.adds = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        """Figure 4 (d)."""
        return self.residual(x).add_(x) if self.adds else self.residual(x)


def add_row_stages(
    model: ImageModel,
    stem: nn.Module,
    channels: int,
    rows: Iterable[tuple[R, int, int, int]],
    make_unit: Callable[[R, int, int, int], nn.Module],
) -> int:
    """Add the stages of a network that a table of rows describes; a row with a stride above 1 begins a new stage.

    Args:
        model: Gets the stages; each of them halves the resolution.
        stem: The first convolution.
        channels: Channels of its output.
        rows: Each row of the table with its channels, its number of units, and the stride of its first unit.
        make_unit: Builds a unit from its row, its channels in and out, and its stride.

    Returns:
        The channels of the last stage.
    """
    stage, number, units = sequence(conv=stem), 0, 0
    for row, width, count, first_stride in rows:
        if first_stride > 1:
            model.add_stage(f"stage{number}" if number else "stem", stage, channels, stride=2)
            stage, number, units = nn.Sequential(), number + 1, 0
        for index in range(count):
            units += 1
            stride = first_stride if index == 0 else 1
            stage.add_module(f"unit{units}", make_unit(row, channels, width, stride))
            channels = width
    model.add_stage(f"stage{number}" if number else "stem", stage, channels, stride=2)
    return channels


@final
class MobileNetV2(ImageModel):
    """The network of Table 2.

    Args:
        spec: Units, widths, padding and eps.
    """

    def __init__(self, spec: MobileNetV2Spec, *, classes: int = 1000, in_channels: int = 3) -> None:
        falls = sum(row.s > 1 for row in spec.rows)
        super().__init__(in_channels=in_channels, classes=classes, min_side=2 ** (falls + 1))
        channels = rounded(spec.stem_width * spec.width)
        conv = ConvNorm(in_channels, channels, 3, stride=2, padding=spec.padding, eps=spec.eps, act=nn.ReLU6)

        def make_unit(row: Row, channels: int, width: int, stride: int) -> nn.Module:
            return InvertedResidual(channels, width, expansion=row.t, stride=stride, padding=spec.padding, eps=spec.eps)

        rows = [(row, rounded(row.c * spec.width), row.n, row.s) for row in spec.rows]
        channels = add_row_stages(self, conv, channels, rows, make_unit)
        last = rounded(spec.last_width * max(1.0, spec.width))
        conv = ConvNorm(channels, last, 1, eps=spec.eps, act=nn.ReLU6)
        self.head = pooled_head(last, classes, dropout=spec.dropout, conv=conv)
        he(self)


register(MobileNetV2, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000, aliases=ALIASES)
