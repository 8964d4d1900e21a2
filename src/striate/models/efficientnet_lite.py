"""EfficientNet-Lite: EfficientNet for phones, without gates, with ReLU6, and with an unscaled stem and head.

Without gates and SiLU, accuracy hardly falls in 8-bit arithmetic. Scaling does not change the first and the last
convolution, and the first and the last row of the table keep one block each.

Source: Liu 2020, the authors' announcement, and the code of the release, which has the coefficients and the sizes of
images. The units are those of EfficientNet's Table 1.

======  ==========  =======================================================
stage   output      layers (lite0)
======  ==========  =======================================================
stem    112 x 112   3x3 convolution, 32, stride 2; 1 unit, 16
stage1  56 x 56     2 units, 24
stage2  28 x 28     2 units 5x5, 40
stage3  14 x 14     3 units, 80; 3 units 5x5, 112
stage4  7 x 7       4 units 5x5, 192; 1 unit, 320
head    7 x 7       1x1 convolution, 1280; average pool
======  ==========  =======================================================

Departures: none; padding and eps are those of the authors' weights. timm's own weights of lite0 need
``padding="symmetric", eps=1e-5``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.efficientnet import TABLE_1, MBConv, Row
from striate.models.mobilenet_v2 import add_row_stages, rounded
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, Padding, check_padding
from striate.nn.drop import check_drop_path_rate, linear_drop_path
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="Liu",
    year=2020,
    month=3,
    title="Higher accuracy on vision models with EfficientNet-Lite",
    ref="blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficientNetLiteSpec:
    """EfficientNet's Table 1 at some width and depth, without gates.

    Args:
        rows: The units, in order.
        ends: Channels of the first and of the last convolution, at any width.
        width: The multiplier of the units' channels, above 0; they are rounded to multiples of 8.
        depth: The multiplier of the numbers of units, above 0; they are rounded up. The first and the last row keep
            theirs.
        padding: How strided convolutions pad.
        eps: Added to the variance by every batch normalisation.
        dropout: Chance that a pooled feature is dropped in training.
        drop_path_rate: Probability of dropping the last unit in training; it rises linearly from 0 at the first unit.
    """

    rows: tuple[Row, ...] = TABLE_1
    ends: tuple[int, int] = (32, 1280)
    width: float = 1.0
    depth: float = 1.0
    padding: Padding = "same"
    eps: float = 1e-3
    dropout: float = 0.2
    drop_path_rate: float = 0.2

    def __post_init__(self) -> None:
        check_padding(self.padding)
        if not self.rows or min(min(row) for row in self.rows) < 1 or min(self.ends) < 1:
            raise ValueError(f"every row needs a unit and every unit a channel; got {self}")
        if self.width <= 0 or self.depth <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"multipliers must be above 0, dropout at least 0 and below 1; got {self}")
        check_drop_path_rate(self.drop_path_rate)

    def units(self, number: int) -> int:
        """Units of a row; the first and the last row are not scaled.

        Args:
            number: Of the row, from 0.
        """
        scale = 1.0 if number in (0, len(self.rows) - 1) else self.depth
        return math.ceil(self.rows[number].units * scale)


VARIANTS = {  # efficientnet_lite_builder.py of the release
    "efficientnet_lite0": EfficientNetLiteSpec(width=1.0, depth=1.0, dropout=0.2),
    "efficientnet_lite1": EfficientNetLiteSpec(width=1.0, depth=1.1, dropout=0.2),
    "efficientnet_lite2": EfficientNetLiteSpec(width=1.1, depth=1.2, dropout=0.3),
    "efficientnet_lite3": EfficientNetLiteSpec(width=1.2, depth=1.4, dropout=0.3),
    "efficientnet_lite4": EfficientNetLiteSpec(width=1.4, depth=1.8, dropout=0.3),
}
SIDES = (224, 240, 260, 280, 300)
INPUTS = {name: (3, side, side) for name, side in zip(VARIANTS, SIDES, strict=True)}
ALIASES = {f"tf_{name}": name for name in VARIANTS}
TINY = EfficientNetLiteSpec(
    rows=(Row(1, 3, 8, 1, 1), Row(2, 3, 8, 2, 2), Row(2, 5, 8, 1, 2), Row(2, 3, 16, 1, 2), Row(2, 5, 16, 1, 2)),
    ends=(8, 24),
)


@final
class EfficientNetLite(ImageModel):
    """EfficientNet's Table 1 without gates, scaled between its ends.

    Args:
        spec: Units, multipliers, padding and eps.
    """

    def __init__(self, spec: EfficientNetLiteSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        first, last = spec.ends
        conv = ConvNorm(in_channels, first, 3, stride=2, padding=spec.padding, eps=spec.eps, act=nn.ReLU6)
        counts = [spec.units(number) for number in range(len(spec.rows))]
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
                gate=None,
                act=nn.ReLU6,
            )

        widths = [rounded(row.channels * spec.width) for row in spec.rows]
        rows = [(row, w, n, row.stride) for row, w, n in zip(spec.rows, widths, counts, strict=True)]
        channels = add_row_stages(self, conv, first, rows, make_unit)
        conv = ConvNorm(channels, last, 1, eps=spec.eps, act=nn.ReLU6)
        self.head = pooled_head(last, classes, dropout=spec.dropout, conv=conv)
        he(self)


register(
    EfficientNetLite,
    VARIANTS,
    tiny=TINY,
    paper=PAPER,
    input=INPUTS["efficientnet_lite0"],
    classes=1000,
    aliases=ALIASES,
    inputs=INPUTS,
)
