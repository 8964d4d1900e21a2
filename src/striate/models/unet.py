"""U-Net: an encoder reduces resolution, a decoder restores it, and skip connections join the two.

Source: Ronneberger, Fischer, Brox 2015, Figure 1.

=======================  =========  ================================================
stage or part            output     layers
=======================  =========  ================================================
stem                     568 x 568  2 convolutions, 64
stage1                   280 x 280  2x2 max pool, 2, 128
stage2                   136 x 136  2x2 max pool, 2, 256
stage3                   64 x 64    2x2 max pool, 2, 512
stage4                   28 x 28    2x2 max pool, 2, 1024, dropout
head.steps.stage3        52 x 52    2x2 up-convolution beside stage3, 2, 512
head.steps.stage2        100 x 100  2x2 up-convolution beside stage2, 2, 256
head.steps.stage1        196 x 196  2x2 up-convolution beside stage1, 2, 128
head.steps.stem          388 x 388  2x2 up-convolution beside the stem, 2, 64
head.logits              388 x 388  1x1 convolution, a map a class
=======================  =========  ================================================

Convolutions are not padded: every output position has seen nothing but image, and large images are answered tile by
tile without a seam. So the output leaves out 92 px along every edge, and a tile's side must come out even before every
pool: 188 px, 204, 220, ..., 572.

Departures: none known. ``padding="symmetric"`` gives the padded form that is widely used, whose output covers the
image.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import DenseModel
from striate.models.registry import register
from striate.nn.conv import Padding, check_padding, make_conv2d
from striate.nn.decoder import Decoder

PAPER = Paper(
    authors="Ronneberger, Fischer, Brox",
    year=2015,
    month=5,
    title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
    ref="arXiv 1505.04597",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetSpec:
    """Figure 1.

    Args:
        widths: Maps of the stem, stage1, ...; the expanding path has the same, backwards.
        convs: 3x3 convolutions at every resolution of either path.
        padding: Of these convolutions, ``"valid"`` or ``"symmetric"``.
        dropout: Chance that a unit at the end of the contracting path is dropped in training.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    convs: int = 2
    padding: Padding = "valid"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_padding(self.padding)
        if len(self.widths) < 2 or min(*self.widths, self.convs) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"two widths or more, each at least 1, and a convolution are needed; got {self}")
        if self.padding not in ("valid", "symmetric"):
            raise ValueError(f"padding is valid or symmetric here; got {self.padding!r}")

    @property
    def shrinks(self) -> int:
        """Pixels that a side loses to the convolutions at one resolution."""
        return 2 * self.convs if self.padding == "valid" else 0

    @property
    def side_step(self) -> int:
        """From one side that comes out even to the next."""
        return 2 ** (len(self.widths) - 1)

    @property
    def min_side(self) -> int:
        """The least side that comes out even and leaves something of every map."""
        side = self._lowest + self.shrinks
        for _ in self.widths[1:]:
            side = 2 * side + self.shrinks
        return side

    @property
    def _lowest(self) -> int:
        """The least side of the lowest map that leaves something of every map above it."""
        lowest = 1
        while min(self._upwards(lowest)) < 1:
            lowest += 1
        return lowest

    def _upwards(self, lowest: int) -> list[int]:
        """Sides of the expanding path's maps over a lowest map of side `lowest`."""
        sides = [lowest]
        for _ in self.widths[1:]:
            sides.append(2 * sides[-1] - self.shrinks)
        return sides

    @property
    def margin(self) -> int:
        """Pixels along every edge that the output leaves out."""
        return (self.min_side - self._upwards(self._lowest)[-1]) // 2


VARIANTS = {"unet": UNetSpec()}  # Figure 1
TINY = UNetSpec(widths=(4, 6, 8))


def _convs(channels: int, width: int, spec: UNetSpec) -> dict[str, nn.Module]:
    row: dict[str, nn.Module] = {}
    for number in range(1, spec.convs + 1):
        row[f"conv{number}"] = make_conv2d(channels, width, 3, padding=spec.padding, bias=True)
        row[f"act{number}"] = nn.ReLU(inplace=True)
        channels = width
    return row


@final
class UpStep(nn.Module):
    """Twice the resolution, beside what the contracting path had at that resolution.

    Args:
        channels: Maps from below.
        width: Maps of the skip, and of the result.
        spec: Convolutions and their padding.

    Shape:
        ``[n, channels, h, w]`` and ``[n, width, H, W]``, at least twice as large, to ``[n, width, 2h - a, 2w - a]``
        with a the pixels that the convolutions take off.
    """

    def __init__(self, channels: int, width: int, spec: UNetSpec) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, width, 2, stride=2)
        self.convs = nn.Sequential(OrderedDict(_convs(2 * width, width, spec)))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Crop the skip's middle, put both side by side, convolve."""
        x = self.up(x)
        height, width = x.shape[2], x.shape[3]
        top, left = (skip.shape[2] - height) // 2, (skip.shape[3] - width) // 2
        return self.convs(torch.cat([skip[:, :, top : top + height, left : left + width], x], dim=1))


@final
class ExpandingPath(Decoder):
    """The right half of the U.

    Args:
        spec: Convolutions and their padding.
        channels: Channels of the stages that it reads, from the image upwards.
        classes: Maps of the output.
    """

    def __init__(self, spec: UNetSpec, channels: Mapping[str, int], classes: int) -> None:
        super().__init__(tuple(channels))
        self.steps = nn.ModuleDict()
        below = channels[self.reads[-1]]
        for name in reversed(self.reads[:-1]):
            self.steps[name] = UpStep(below, channels[name], spec)
            below = channels[name]
        self.logits = nn.Conv2d(below, classes, 1)

    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Up the steps; the image's size follows from the maps'."""
        x = maps[self.reads[-1]]
        for name, step in self.steps.items():
            x = step(x, maps[name])
        return self.logits(x)

    def replace_logits(self, classes: int) -> None:
        """Put a fresh last convolution."""
        self.logits = nn.Conv2d(self.logits.in_channels, classes, 1).to(self.logits.weight)
        _initialise([self.logits])


@final
class UNet(DenseModel):
    """The network of Figure 1.

    Args:
        spec: Its widths and paddings.
    """

    def __init__(self, spec: UNetSpec, *, classes: int = 2, in_channels: int = 1) -> None:
        super().__init__(
            in_channels=in_channels,
            classes=classes,
            min_side=spec.min_side,
            side_step=spec.side_step,
            margin=spec.margin,
        )
        channels = in_channels
        for number, width in enumerate(spec.widths):
            parts: dict[str, nn.Module] = {"pool": nn.MaxPool2d(2)} if number else {}
            parts |= _convs(channels, width, spec)
            if number == len(spec.widths) - 1:
                parts["drop"] = nn.Dropout(spec.dropout)
            name, stride = (f"stage{number}", 2) if number else ("stem", 1)
            self.add_stage(name, nn.Sequential(OrderedDict(parts)), width, stride=stride)
            channels = width
        self.head = ExpandingPath(spec, {stage.name: stage.channels for stage in self.stage_table}, classes)
        _initialise(self.modules())


def _initialise(layers: Iterable[nn.Module]) -> None:
    """Normal with a deviation of sqrt(2 / N), N the elements that one output element adds up (section 3)."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            added = layer.in_channels * math.prod(layer.kernel_size)
            if isinstance(layer, nn.ConvTranspose2d):
                added //= math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / added))
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


register(UNet, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 572, 572), classes=2)
