"""EfficientNet: a small network found by search, and a rule that scales depth, width and image size together.

Its block (MBConv) expands the channels, applies a depthwise convolution and a squeeze-and-excitation gate, and projects
back without an activation.

Source: Tan and Le 2019, Table 1 (the small network, B0) and section 3.3 (the rule); Table 2 lists the scaled networks,
whose coefficients and sizes of images are those of the authors' code.

======  ==========  =======================================================
stage   output      layers (B0)
======  ==========  =======================================================
stem    112 x 112   3x3 convolution, 32, stride 2; 1 unit, 16
stage1  56 x 56     2 units, 24
stage2  28 x 28     2 units 5x5, 40
stage3  14 x 14     3 units, 80; 3 units 5x5, 112
stage4  7 x 7       4 units 5x5, 192; 1 unit, 320
head    7 x 7       1x1 convolution, 1280; average pool
======  ==========  =======================================================

Departures: padding and eps of ``efficientnet_*`` are those of torchvision's weights (eps changes at B5); ``tf_*`` are
the same networks as the authors trained them in TensorFlow. Random depth counts units from 0, as the authors' code
does. Squeezing is to a quarter of what comes in, not of the widened maps, as in every published set of weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, final

from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.mobilenet_v2 import add_row_stages, rounded
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, Padding, check_padding
from striate.nn.drop import StochasticDepth, check_drop_path_rate, linear_drop_path
from striate.nn.gate import SqueezeExcite
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="Tan and Le",
    year=2019,
    month=5,
    title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    ref="arXiv 1905.11946",
)


class Row(NamedTuple):
    """A row of Table 1."""

    expansion: int
    """Inner channels over channels in."""
    kernel: int
    """Side of the depthwise kernel."""
    channels: int
    """Channels out, at width 1."""
    units: int
    """Units, at depth 1."""
    stride: int
    """Stride of the first unit."""


TABLE_1 = (
    Row(1, 3, 16, 1, 1),
    Row(6, 3, 24, 2, 2),
    Row(6, 5, 40, 2, 2),
    Row(6, 3, 80, 3, 2),
    Row(6, 5, 112, 3, 1),
    Row(6, 5, 192, 4, 2),
    Row(6, 3, 320, 1, 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficientNetSpec:
    """The network of Table 1 at some width and depth.

    Args:
        rows: The units, in order.
        stem_width: Channels of the first convolution (at width 1).
        width: The multiplier of all channels, above 0; they are rounded to multiples of 8.
        depth: The multiplier of all numbers of units, above 0; they are rounded up.
        padding: How strided convolutions pad.
        eps: Added to the variance by every batch normalisation.
        dropout: Chance that a pooled feature is dropped in training.
        drop_path_rate: Probability of dropping the last unit in training; it rises linearly from 0 at the first unit.
    """

    rows: tuple[Row, ...] = TABLE_1
    stem_width: int = 32
    width: float = 1.0
    depth: float = 1.0
    padding: Padding = "symmetric"
    eps: float = 1e-5
    dropout: float = 0.2
    drop_path_rate: float = 0.2

    def __post_init__(self) -> None:
        check_padding(self.padding)
        if not self.rows or min(min(row) for row in self.rows) < 1 or self.stem_width < 1:
            raise ValueError(f"every row needs a unit and every unit a channel; got {self}")
        if self.width <= 0 or self.depth <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"multipliers must be above 0, dropout at least 0 and below 1; got {self}")
        check_drop_path_rate(self.drop_path_rate)


VARIANTS = {  # Table 2
    "efficientnet_b0": EfficientNetSpec(width=1.0, depth=1.0, dropout=0.2),
    "efficientnet_b1": EfficientNetSpec(width=1.0, depth=1.1, dropout=0.2),
    "efficientnet_b2": EfficientNetSpec(width=1.1, depth=1.2, dropout=0.3),
    "efficientnet_b3": EfficientNetSpec(width=1.2, depth=1.4, dropout=0.3),
    "efficientnet_b4": EfficientNetSpec(width=1.4, depth=1.8, dropout=0.4),
    "efficientnet_b5": EfficientNetSpec(width=1.6, depth=2.2, dropout=0.4, eps=1e-3),
    "efficientnet_b6": EfficientNetSpec(width=1.8, depth=2.6, dropout=0.5, eps=1e-3),
    "efficientnet_b7": EfficientNetSpec(width=2.0, depth=3.1, dropout=0.5, eps=1e-3),
}
VARIANTS |= {f"tf_{name}": replace(spec, padding="same", eps=1e-3) for name, spec in VARIANTS.items()}
SIDES = (224, 240, 260, 300, 380, 456, 528, 600)
INPUTS = {name: (3, SIDES[int(name[-1])], SIDES[int(name[-1])]) for name in VARIANTS}
TINY = EfficientNetSpec(
    rows=(Row(1, 3, 8, 1, 1), Row(2, 3, 8, 2, 2), Row(2, 5, 8, 1, 2), Row(2, 3, 16, 1, 2), Row(2, 5, 16, 1, 2)),
    stem_width=8,
)


@final
class MBConv(nn.Module):
    """Widen, look around depthwise, weigh each map by a gate, narrow linearly; add where shapes agree.

    Args:
        channels: Channels in.
        width: Channels out.
        gate: Weighs the widened maps; None leaves them as they are.
        act: Follows every normalisation but the last.

    Source:
        Tan et al. 2018, MnasNet (arXiv 1807.11626), Figure 7, which Table 1 builds on.

    Shape:
        ``[n, channels, h, w]`` to ``[n, width, h / stride, w / stride]``.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        expansion: int,
        kernel: int,
        stride: int,
        padding: Padding,
        eps: float,
        drop_path_rate: float,
        gate: nn.Module | None,
        act: type[nn.ReLU6] | type[nn.SiLU],
    ) -> None:
        super().__init__()
        inner = channels * expansion
        self.residual = nn.Sequential()
        if expansion > 1:
            self.residual.add_module("expand", ConvNorm(channels, inner, 1, eps=eps, act=act))
        depthwise = ConvNorm(inner, inner, kernel, stride=stride, padding=padding, groups=inner, eps=eps, act=act)
        self.residual.add_module("depthwise", depthwise)
        if gate is not None:
            self.residual.add_module("gate", gate)
        self.residual.add_module("project", ConvNorm(inner, width, 1, eps=eps, act=None))
        self.adds = stride == 1 and channels == width
        self.drop = StochasticDepth(drop_path_rate if self.adds else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """The narrow maps, on top of the input where they can be."""
        narrow = self.residual(x)
        # into the narrow maps, which nobody else holds: one map less in memory
        return self.drop(narrow).add_(x) if self.adds else narrow


@final
class EfficientNet(ImageModel):
    """The network of Table 1, scaled.

    Args:
        spec: Units, multipliers, padding and eps.
    """

    def __init__(self, spec: EfficientNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        channels = rounded(spec.stem_width * spec.width)
        conv = ConvNorm(in_channels, channels, 3, stride=2, padding=spec.padding, eps=spec.eps, act=nn.SiLU)
        counts = [math.ceil(row.units * spec.depth) for row in spec.rows]
        rates = iter([0.0, *linear_drop_path(spec.drop_path_rate, sum(counts))])

        def make_unit(row: Row, channels: int, width: int, stride: int) -> nn.Module:
            return MBConv(
                channels,
                width,
                expansion=row.expansion,
                kernel=row.kernel,
                stride=stride,
                padding=spec.padding,
                eps=spec.eps,
                drop_path_rate=next(rates),
                gate=SqueezeExcite(channels * row.expansion, max(1, channels // 4), act=nn.SiLU),
                act=nn.SiLU,
            )

        widths = [rounded(row.channels * spec.width) for row in spec.rows]
        rows = [(row, w, n, row.stride) for row, w, n in zip(spec.rows, widths, counts, strict=True)]
        channels = add_row_stages(self, conv, channels, rows, make_unit)
        conv = ConvNorm(channels, 4 * channels, 1, eps=spec.eps, act=nn.SiLU)
        self.head = pooled_head(4 * channels, classes, dropout=spec.dropout, conv=conv)
        he(self)


register(
    EfficientNet,
    VARIANTS,
    tiny=TINY,
    paper=PAPER,
    input=INPUTS["efficientnet_b0"],
    classes=1000,
    inputs=INPUTS,
)
