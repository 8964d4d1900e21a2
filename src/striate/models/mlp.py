"""The fully connected network: every unit is connected to every pixel.

The baseline that shows what convolution brings. Source of its shape: LeCun et al. 1998, section III.C, the
28x28-300-100-10 network; of its learning rule: Rumelhart et al. 1986.

======  ==========  =========================
stage   output      layers
======  ==========  =========================
stem    1 x 1       all pixels to 300 units
stage1  1 x 1       300 to 100 units
======  ==========  =========================

Departures: rectifiers instead of tanh. A stage yields maps of one position, so that the network can be cut, probed and
frozen as every other. It takes images of one size only: ``side`` of its spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.heads import pooled_head
from striate.nn.init import he

PAPER = Paper(
    authors="Rumelhart, Hinton, Williams",
    year=1986,
    month=10,
    title="Learning representations by back-propagating errors",
    ref="Nature 323, 533-536",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MLPSpec:
    """Sizes of the network.

    Args:
        hidden: Units of each hidden layer, from the image upwards.
        side: Height and width of the images, in pixels.
    """

    hidden: tuple[int, ...] = (300, 100)
    side: int = 28

    def __post_init__(self) -> None:
        if not self.hidden or min(*self.hidden, self.side) < 1:
            raise ValueError(f"at least one hidden layer, each with a unit, and a side of 1 px; got {self}")


VARIANTS = {"mlp": MLPSpec()}  # LeCun et al. 1998, section III.C
TINY = MLPSpec(hidden=(6, 5), side=4)


def dense(inputs: int, units: int) -> nn.Sequential:
    """A linear layer over all channels and positions, with ReLU.

    Shape:
        ``[n, c, h, w]`` with ``c * h * w == inputs`` to ``[n, units, 1, 1]``.
    """
    layers = nn.Sequential()
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("dense", nn.Linear(inputs, units))
    layers.add_module("act", nn.ReLU(inplace=True))
    layers.add_module("unflatten", nn.Unflatten(1, (units, 1, 1)))
    return layers


@final
class MLP(ImageModel):
    """Linear layers from pixels to classes.

    Args:
        spec: Sizes of the network.
    """

    def __init__(self, spec: MLPSpec, *, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=spec.side, max_side=spec.side)
        inputs = in_channels * spec.side**2
        for number, units in enumerate(spec.hidden):
            name, stride = (f"stage{number}", 1) if number else ("stem", spec.side)
            self.add_stage(name, dense(inputs, units), units, stride=stride)
            inputs = units
        self.head = pooled_head(inputs, classes)
        he(self)


register(MLP, VARIANTS, tiny=TINY, paper=PAPER, input=(1, 28, 28), classes=10)
