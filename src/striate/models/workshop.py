"""The workshop's networks: a first network to build, in the version of PyTorch and in that of Keras.

Source: ACM AI at UCLA 2021, Advanced Track, Workshop 4, the two listings.

workshop_torch, for grey images of 16 px:

======  ==========  =======================================================
stage   output      layers
======  ==========  =======================================================
stem    16 x 16     5x5 convolutions, 16 and 32
stage1  8 x 8       2x2 max pool, 5x5 convolution, 64
stage2  4 x 4       2x2 max pool
======  ==========  =======================================================

workshop_keras, for colour images of 64 px and a single yes or no:

======  ==========  =======================================================
stage   output      layers
======  ==========  =======================================================
stem    62 x 62     3x3 convolution without padding, 32
stage1  29 x 29     2x2 max pool, 3x3 convolution without padding, 32
stage2  14 x 14     2x2 max pool
======  ==========  =======================================================

Departures: the output is logits, where the listings end in softmax (which PyTorch's cross-entropy then applies a second
time) and in a sigmoid; an adaptive pool before the linear layers allows larger images. The linear layers of
workshop_torch have no activation between them, so together they are one linear map; that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import Padding, check_padding, make_conv2d
from striate.nn.heads import Head, global_pool
from striate.nn.init import he
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="ACM AI at UCLA",
    year=2021,
    month=1,  # the slides give no month
    title="Advanced Track, Workshop 4: Convolutional Neural Networks",
    ref="slides",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkshopSpec:
    """One listing.

    Args:
        kernel: Side of every convolution's kernel.
        widths: Maps of the convolutions, a row for each run of them; a 2x2 max pool follows every row.
        padding: How the convolutions pad.
        grid: Height and width of the maps that the linear layers read.
        hidden: Widths of the linear layers before the output.
        activation: What follows each of them: ``"relu"`` or ``"none"``.
    """

    kernel: int
    widths: tuple[tuple[int, ...], ...]
    padding: Padding
    grid: int
    hidden: tuple[int, ...]
    activation: str

    def __post_init__(self) -> None:
        check_padding(self.padding)
        if not self.widths or not all(self.widths) or min(*map(min, self.widths), *self.hidden) < 1:
            raise ValueError(f"every row needs a convolution and every layer a unit; got {self}")
        if min(self.kernel, self.grid) < 1:
            raise ValueError(f"kernel and grid are at least 1; got {self.kernel} and {self.grid}")
        if self.activation not in ("relu", "none"):
            raise ValueError(f"activation is 'relu' or 'none'; got {self.activation!r}")

    @property
    def min_side(self) -> int:
        """The least image of which a position is left, in pixels."""
        lost = self.kernel - 1 if self.padding == "valid" else 0
        side = 1
        for row in reversed(self.widths):
            side = 2 * side + lost * len(row)
        return side


TORCH = WorkshopSpec(
    kernel=5, widths=((16, 32), (64,)), padding="symmetric", grid=4, hidden=(512, 256, 64), activation="none"
)
KERAS = WorkshopSpec(kernel=3, widths=((32,), (32,)), padding="valid", grid=14, hidden=(128,), activation="relu")
TINY = WorkshopSpec(kernel=3, widths=((3,), (4,)), padding="valid", grid=2, hidden=(6, 5), activation="relu")


@final
class Workshop(ImageModel):
    """The network of a listing.

    Args:
        spec: The listing.
    """

    def __init__(self, spec: WorkshopSpec, *, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(in_channels=in_channels, classes=classes, min_side=spec.min_side)
        channels, number = in_channels, 0
        for index, row in enumerate(spec.widths):
            layers: dict[str, nn.Module] = {"pool": nn.MaxPool2d(2)} if index else {}
            for width in row:
                number += 1
                layers[f"conv{number}"] = make_conv2d(channels, width, spec.kernel, padding=spec.padding, bias=True)
                layers[f"act{number}"] = nn.ReLU(inplace=True)
                channels = width
            name, stride = (f"stage{index}", 2) if index else ("stem", 1)
            self.add_stage(name, sequence(**layers), channels, stride=stride)
        self.add_stage(f"stage{len(spec.widths)}", sequence(pool=nn.MaxPool2d(2)), channels, stride=2)

        parts: dict[str, nn.Module] = {"pool": global_pool(spec.grid)}
        inputs = channels * spec.grid**2
        for index, units in enumerate(spec.hidden, start=1):
            after = [nn.ReLU(inplace=True)] if spec.activation == "relu" else []
            parts[f"fc{index}"] = nn.Sequential(nn.Linear(inputs, units), *after)
            inputs = units
        self.head = Head(parts | {"logits": nn.Linear(inputs, classes)})
        he(self)


register(Workshop, {"workshop_torch": TORCH}, tiny=TINY, paper=PAPER, input=(1, 16, 16), classes=10)
register(Workshop, {"workshop_keras": KERAS}, tiny=TINY, paper=PAPER, input=(3, 64, 64), classes=1)
