"""Pre-activation residual networks: normalisation and ReLU come before each convolution, and nothing follows the sum.

Source: He et al. 2016, Figure 4 (five orders of the same layers) and section 5 (networks for 224 px);
the appendix says how a network begins and ends.

======  ==========  ========================================================
stage   output      layers (50)
======  ==========  ========================================================
stem    112 x 112   7x7 convolution, 64, stride 2
stage1  56 x 56     3x3 max pool, norm, ReLU, 2 units, 256
stage2  28 x 28     1 unit, 256, stride 2; 3 units, 512
stage3  14 x 14     1 unit, 512, stride 2; 5 units, 1024
stage4  7 x 7       1 unit, 1024, stride 2; 3 units, 2048; norm, ReLU
======  ==========  ========================================================

Departures, all of which Keras' weights force: the last unit of a width takes the stride, not the first of the next; its
shortcut drops positions where the paper projects; convolutions that no normalisation follows have biases; the max pool
pads with zeros, which count where maps are negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, final

from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.models.resnet import Place, Shortcut, unit_places, units
from striate.nn.conv import make_conv2d
from striate.nn.heads import pooled_head
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="He et al.",
    year=2016,
    month=3,
    title="Identity Mappings in Deep Residual Networks",
    ref="arXiv 1603.05027",
)

Layers = tuple[Literal["norm", "act"], ...]
"""Normalisations and rectifiers in a row."""


@dataclass(frozen=True, slots=True)
class Order:
    """A column of Figure 4.

    Args:
        before: What comes before the first convolution.
        between: What comes between two convolutions.
        after: What comes between the last convolution and the sum.
        joined: What comes after the sum.
    """

    before: Layers
    between: Layers
    after: Layers
    joined: Layers


BOTH: Layers = ("norm", "act")
ORIGINAL = Order((), BOTH, ("norm",), ("act",))  # (a)
NORM_AFTER_SUM = Order((), BOTH, (), BOTH)  # (b)
RELU_BEFORE_SUM = Order((), BOTH, BOTH, ())  # (c)
RELU_FIRST = Order(("act",), BOTH, ("norm",), ())  # (d)
PREACTIVATION = Order(BOTH, BOTH, (), ())  # (e)


class Body(Protocol):
    """The convolutions of a residual function: `BasicSpec`, `BottleneckSpec`, and those of later papers."""

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        ...

    @property
    def shortcut(self) -> Shortcut:
        """What stands beside the convolutions."""
        ...

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The convolutions, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedSpec:
    """A unit whose layers stand in one of the orders of Figure 4, for any residual network.

    Args:
        body: The convolutions.
        order: What stands around them.
    """

    body: Body
    order: Order

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return self.body.expansion

    def build(self, place: Place) -> nn.Module:
        """The unit for a place."""
        return self.around(self.residual, place)

    def around(self, residual: Callable[[Place, Layers], nn.Module], place: Place) -> nn.Module:
        """The unit for a place, about a residual function of any making.

        Args:
            residual: Makes it from the place and what comes before its first convolution.
            place: Where the unit stands.
        """
        order, eps, channels = self.order, place.eps, place.width * self.expansion
        # Appendix: the stem's own layers serve the first unit, and the last unit must do what none after it will.
        before = order.before if place.index > 1 else ()
        joined = order.joined + (order.before if place.index == place.total else ())
        # Where channels change, the shortcut reads what the convolutions read (authors' code); else it is left clean.
        shared, own = (before, ()) if channels != place.channels else ((), before)
        return OrderedResidual(
            before=layers(shared, place.channels, eps),
            residual=residual(place, own),
            shortcut=self.body.shortcut(place, channels, normed="norm" in order.after),
            joined=layers(joined, channels, eps, over=True),
        )

    def residual(self, place: Place, before: Layers) -> nn.Sequential:
        """The residual function: `before`, then the convolutions with what belongs between and after them."""
        row = nn.Sequential()
        if before:
            row.add_module("before", layers(before, place.channels, place.eps))
        convs = self.body.convs(place)
        for number, conv in enumerate(convs, start=1):
            kinds = self.order.between if number < len(convs) else self.order.after
            following = layers(kinds, conv.out_channels, place.eps, over=True)
            row.add_module(f"conv{number}", sequence(conv=conv, **dict(following.named_children())))
        return row


def layers(kinds: Layers, channels: int, eps: float, *, over: bool = False) -> nn.Sequential:
    """Normalisations and rectifiers in a row.

    Args:
        kinds: Which.
        channels: Channels of the maps.
        eps: Added to the variance.
        over: Whether what comes in may be written over, because nobody else reads it.
    """
    row = nn.Sequential()
    for kind in kinds:
        row.add_module(kind, nn.BatchNorm2d(channels, eps=eps) if kind == "norm" else nn.ReLU(inplace=over))
        over = True
    return row


@final
class OrderedResidual(nn.Module):
    """The sum of a residual function and a shortcut, with what both read and what is done to the sum.

    Shape:
        ``[n, c, h, w]`` to ``[n, c', h / stride, w / stride]``.
    """

    def __init__(self, *, before: nn.Module, residual: nn.Module, shortcut: nn.Module, joined: nn.Module) -> None:
        super().__init__()
        self.before = before
        self.residual = residual
        self.shortcut = shortcut
        self.joined = joined

    def forward(self, x: Tensor) -> Tensor:
        """Figure 4."""
        x = self.before(x)
        return self.joined(self.residual(x) + self.shortcut(x))


# ---------------------------------------------------------------------- the networks for 224 px


def thinned(place: Place, channels: int, *, normed: bool = True) -> nn.Module:
    """A projection with biases where channels change; else every `stride`-th position, by a max pool of one pixel."""
    if place.channels != channels:
        return make_conv2d(place.channels, channels, 1, stride=place.stride, bias=True)
    return nn.MaxPool2d(1, place.stride) if place.stride > 1 else nn.Identity()


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasedBottleneck:
    """1x1 down, 3x3, 1x1 up with biases.

    Args:
        shortcut: What stands beside them.
    """

    shortcut: Shortcut = thinned

    @property
    def expansion(self) -> int:
        """Output channels over width."""
        return 4

    def convs(self, place: Place) -> list[nn.Conv2d]:
        """The three."""
        return [
            make_conv2d(place.channels, place.width, 1),
            make_conv2d(place.width, place.width, 3, stride=place.stride),
            make_conv2d(place.width, 4 * place.width, 1, bias=True),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetV2Spec:
    """Depth of a network for 224 px.

    Args:
        blocks: Units of each width, the last of which takes the stride.
        stem_width: Channels of the first convolution and width of the first units.
        eps: Added to the variance by every batch normalisation.
    """

    blocks: tuple[int, ...]
    stem_width: int = 64
    eps: float = 1.001e-5

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 2 or self.stem_width < 1:
            raise ValueError(f"every width needs a unit before the one that strides; got {self}")


VARIANTS = {  # section 5; blocks as in Table 1 of the first paper
    "resnet50v2": ResNetV2Spec(blocks=(3, 4, 6, 3)),
    "resnet101v2": ResNetV2Spec(blocks=(3, 4, 23, 3)),
    "resnet152v2": ResNetV2Spec(blocks=(3, 8, 36, 3)),
}
TINY = ResNetV2Spec(blocks=(2, 2, 2), stem_width=4)


def late(rows: list[list[Place]]) -> list[list[Place]]:
    """The same positions, but the last unit of each stage takes the stride and so begins the next stage."""
    stages: list[list[Place]] = [[]]
    for row in rows:
        *first, last = (replace(place, stride=1) for place in row)
        stages[-1] += first
        if row is rows[-1]:
            stages[-1].append(last)
        else:
            stages.append([replace(last, stride=2)])
    return stages


@final
class ResNetV2(ImageModel):
    """The network of section 5.

    Args:
        spec: The row of the table.
    """

    def __init__(self, spec: ResNetV2Spec, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(in_channels=in_channels, classes=classes)
        channels = spec.stem_width
        stem = sequence(conv=make_conv2d(in_channels, channels, 7, stride=2, bias=True))
        self.add_stage("stem", stem, channels, stride=2)
        unit = OrderedSpec(body=BiasedBottleneck(), order=PREACTIVATION)
        pool = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, stride=2))
        first: dict[str, nn.Module] = {"pool": pool, "before": layers(BOTH, channels, spec.eps)}
        for number, row in enumerate(late(unit_places(unit, spec.blocks, channels, spec.eps)), start=1):
            channels = row[-1].width * unit.expansion
            self.add_stage(f"stage{number}", sequence(**first, **units(unit, row)), channels, stride=2)
            first = {}
        self.head = pooled_head(channels, classes)
        he(self)


register(ResNetV2, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 224, 224), classes=1000)
