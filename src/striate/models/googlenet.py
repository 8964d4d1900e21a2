"""GoogLeNet: inception modules apply kernels of several sizes in parallel, after 1x1 convolutions that reduce channels.

Source: Szegedy et al. 2014, Table 1, Figures 2 and 3; auxiliary classifiers from section 5.

======  ==========  ==================================================  =================
stage   output      layers                                              paper's name
======  ==========  ==================================================  =================
stem    112 x 112   7x7 convolution, 64, stride 2                       conv1
stage1  56 x 56     3x3 max pool; convolutions 1x1, 64 and 3x3, 192     pool1, conv2
stage2  28 x 28     3x3 max pool; 2 modules, 480                        pool2, 3a to 3b
stage3  14 x 14     3x3 max pool; 5 modules, 832                        pool3, 4a to 4e
stage4  7 x 7       max pool; 2 modules, 1024                           pool4, 5a to 5b
======  ==========  ==================================================  =================

Departures: ``googlenet`` is the network of the published weights (torchvision's): batch normalisation instead of biases
and response normalisation, 3x3 kernels where Table 1 has 5x5, a pool4 of 2x2, dropout of 0.2. ``googlenet_paper`` is
Table 1, its response normalisation with the constants of Krizhevsky et al. 2012. The pool of the auxiliary classifiers
adapts to images of any size, where the paper's has windows of 5x5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, final

import torch
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import ConvNorm, make_conv2d
from striate.nn.heads import Head, pooled_head
from striate.nn.init import he
from striate.nn.pool import CeilMaxPool2d
from striate.nn.response import response_norm
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Szegedy et al.",
    year=2014,
    month=9,
    title="Going Deeper with Convolutions",
    ref="arXiv 1409.4842",
)


class Row(NamedTuple):
    """A module's row of Table 1: channels of its convolutions, by the paper's column."""

    one: int
    """#1x1."""
    reduce3: int
    """#3x3 reduce."""
    three: int
    """#3x3."""
    reduce5: int
    """#5x5 reduce."""
    five: int
    """#5x5."""
    pooled: int
    """pool proj."""


TABLE_1 = (
    (Row(64, 96, 128, 16, 32, 32), Row(128, 128, 192, 32, 96, 64)),
    (
        Row(192, 96, 208, 16, 48, 64),
        Row(160, 112, 224, 24, 64, 64),
        Row(128, 128, 256, 24, 64, 64),
        Row(112, 144, 288, 32, 64, 64),
        Row(256, 160, 320, 32, 128, 128),
    ),
    (Row(256, 160, 320, 32, 128, 128), Row(384, 192, 384, 48, 128, 128)),
)


class LayerSpec(Protocol):
    """Spec of one convolution and what follows it."""

    def build(self, channels: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
        """A rectified convolution from `channels` to `width` maps."""
        ...

    def response(self) -> nn.Module:
        """The layer at the two positions in the stem where Figure 3 has local response normalisation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasedSpec:
    """Convolution with biases, and rectifier: the paper's."""

    def build(self, channels: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
        """A rectified convolution from `channels` to `width` maps."""
        return sequence(conv=make_conv2d(channels, width, kernel, stride=stride, bias=True), act=nn.ReLU(inplace=True))

    def response(self) -> nn.Module:
        """Local response normalisation."""
        return response_norm()


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedSpec:
    """Convolution, batch normalisation and rectifier, which need no response normalisation.

    Args:
        eps: Added to the variance by the normalisation.
    """

    eps: float = 1e-3

    def build(self, channels: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
        """A rectified convolution from `channels` to `width` maps."""
        return ConvNorm(channels, width, kernel, stride=stride, eps=self.eps)

    def response(self) -> nn.Module:
        """Nothing."""
        return nn.Identity()


class UnitSpec(Protocol):
    """Spec of a module."""

    def width(self, channels: int, widths: Row) -> int:
        """Channels that a module gives when it takes `channels`."""
        ...

    def build(self, channels: int, widths: Row, layer: LayerSpec) -> nn.Module:
        """A module whose convolutions have `widths`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveSpec:
    """Every scale on all channels (Figure 2a): each module is wider than the one before it, and far dearer."""

    def width(self, channels: int, widths: Row) -> int:
        """The pool hands all channels on."""
        return widths.one + widths.three + widths.five + channels

    def build(self, channels: int, widths: Row, layer: LayerSpec) -> nn.Module:
        """A module without the reductions that `widths` also names."""
        return Branches(
            layer.build(channels, widths.one, 1),
            layer.build(channels, widths.three, 3),
            layer.build(channels, widths.five, 5),
            nn.MaxPool2d(3, stride=1, padding=1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReducedSpec:
    """1x1 reductions before the large kernels, and a projection after the pool (Figure 2b).

    Args:
        large: Side of the third branch's kernel.
    """

    large: int = 5

    def __post_init__(self) -> None:
        if self.large < 1 or self.large % 2 == 0:
            raise ValueError(f"the large kernel has an odd side; got {self.large}")

    def width(self, channels: int, widths: Row) -> int:
        """Whatever comes in, the table says what comes out."""
        return widths.one + widths.three + widths.five + widths.pooled

    def build(self, channels: int, widths: Row, layer: LayerSpec) -> nn.Module:
        """A module whose convolutions have `widths`."""
        return Branches(
            layer.build(channels, widths.one, 1),
            sequence(
                conv1=layer.build(channels, widths.reduce3, 1),
                conv2=layer.build(widths.reduce3, widths.three, 3),
            ),
            sequence(
                conv1=layer.build(channels, widths.reduce5, 1),
                conv2=layer.build(widths.reduce5, widths.five, self.large),
            ),
            sequence(
                pool=nn.MaxPool2d(3, stride=1, padding=1),
                conv1=layer.build(channels, widths.pooled, 1),
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuxiliarySpec:
    """Spec of an auxiliary classifier: more gradient for the middle of the network, in training alone (section 5).

    Args:
        taps: Modules whose output they classify.
        side: Positions along each side that their convolution reads.
        width: Maps of that convolution.
        hidden: Units of their linear layer.
        dropout: Chance that one of those is dropped in training.
    """

    taps: tuple[str, ...] = ("stage3.unit1", "stage3.unit4")
    side: int = 4
    width: int = 128
    hidden: int = 1024
    dropout: float = 0.7

    def build(self, channels: int, classes: int, layer: LayerSpec) -> Head:
        """A classifier of maps with `channels`."""
        return Head(
            {
                "pool": nn.AdaptiveAvgPool2d(self.side),
                "conv": layer.build(channels, self.width, 1),
                "flatten": nn.Flatten(),
                "fc": nn.Sequential(nn.Linear(self.width * self.side**2, self.hidden), nn.ReLU(inplace=True)),
                "drop": nn.Dropout(self.dropout),
                "logits": nn.Linear(self.hidden, classes),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogLeNetSpec:
    """Table 1, and what it is built of.

    Args:
        unit: Spec of the modules.
        layer: Spec of the convolutions.
        rows: The modules of every stage above stage1.
        stem: Channels of conv1, of conv2's reduction, and of conv2.
        last_pool: Side of the last max pool's window.
        dropout: Chance that a pooled feature is dropped in training.
        aux: Spec of the auxiliary classifiers; None builds none.
    """

    unit: UnitSpec = field(default_factory=ReducedSpec)
    layer: LayerSpec = field(default_factory=BiasedSpec)
    rows: tuple[tuple[Row, ...], ...] = TABLE_1
    stem: tuple[int, int, int] = (64, 64, 192)
    last_pool: int = 3
    dropout: float = 0.4
    aux: AuxiliarySpec | None = None

    def __post_init__(self) -> None:
        widths = [*self.stem, *(width for stage in self.rows for each in stage for width in each)]
        if len(self.stem) != 3 or not self.rows or not all(self.rows) or min(widths) < 1:
            raise ValueError(f"every stage needs a module and every convolution a channel; got {self}")
        if self.last_pool not in (2, 3) or not 0 <= self.dropout < 1:
            raise ValueError(f"last_pool is 2 or 3, dropout at least 0 and below 1; got {self}")
        modules = [f"stage{n}.unit{i}" for n, stage in enumerate(self.rows, start=2) for i in range(1, len(stage) + 1)]
        if self.aux is not None and not set(self.aux.taps) <= set(modules):
            raise ValueError(f"auxiliary classifiers tap modules ({', '.join(modules)}); got {self.aux.taps}")


VARIANTS = {
    "googlenet": GoogLeNetSpec(
        unit=ReducedSpec(large=3), layer=NormalisedSpec(), last_pool=2, dropout=0.2, aux=AuxiliarySpec()
    ),
    "googlenet_paper": GoogLeNetSpec(aux=AuxiliarySpec()),  # Table 1
}
TINY = GoogLeNetSpec(
    layer=NormalisedSpec(),
    rows=((Row(2, 2, 3, 2, 2, 1),),) * 3,
    stem=(4, 4, 6),
    last_pool=2,
    aux=AuxiliarySpec(taps=("stage2.unit1", "stage3.unit1"), side=2, width=4, hidden=8, dropout=0.0),
)


@final
class Branches(nn.Module):
    """The same maps through several branches, whose results stand one after another along the channels.

    Shape:
        ``[n, channels, h, w]`` to ``[n, sum of the branches' channels, h', w']``.
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches, start=1):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """Filter concatenation."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


@final
class GoogLeNet(ImageModel):
    """The network of Table 1.

    Args:
        spec: Modules, layers and widths.
    """

    def __init__(self, spec: GoogLeNetSpec, *, classes: int = 1000, in_channels: int = 3) -> None:
        # pools round up: one with windows of 3 needs 2 n positions to give n, one with windows of 2 needs 1 to give 1
        doublings = 1 + len(spec.rows) - (spec.last_pool == 2)
        super().__init__(in_channels=in_channels, classes=classes, min_side=2 * 2**doublings - 1)
        layer, (conv1, reduce2, conv2) = spec.layer, spec.stem
        self.add_stage("stem", layer.build(in_channels, conv1, 7, 2), conv1, stride=2)
        stage1 = sequence(
            pool=CeilMaxPool2d(3, stride=2),
            response1=layer.response(),
            conv2=layer.build(conv1, reduce2, 1),
            conv3=layer.build(reduce2, conv2, 3),
            response2=layer.response(),
        )
        self.add_stage("stage1", stage1, conv2, stride=2)
        channels, tapped = conv2, {}
        for number, rows in enumerate(spec.rows, start=2):
            window = spec.last_pool if number == len(spec.rows) + 1 else 3
            stage = sequence(pool=CeilMaxPool2d(window, stride=2))
            for index, widths in enumerate(rows, start=1):
                stage.add_module(f"unit{index}", spec.unit.build(channels, widths, layer))
                channels = tapped[f"stage{number}.unit{index}"] = spec.unit.width(channels, widths)
            self.add_stage(f"stage{number}", stage, channels, stride=2)
        self.head = pooled_head(channels, classes, dropout=spec.dropout)
        if spec.aux is not None:
            for tap in spec.aux.taps:
                self.add_aux(tap, spec.aux.build(tapped[tap], classes, layer))
        he(self)


register(GoogLeNet, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
