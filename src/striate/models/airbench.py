"""Airbench: a small network for fast training on CIFAR-10, whose first convolution is initialised from the images.

Source: Jordan 2024, section 3 (94 %) and section 4 (95 and 96 %); widths and blocks of the author's code.

======  ==========  =========================================================
stage   output      blocks (the network for 94 %)
======  ==========  =========================================================
stem    31 x 31     2x2 convolution without padding, 24: both signs of each
                    principal direction of the patches
stage1  15 x 15     3x3 convolution and pooling, then another, 64
stage2  7 x 7       the same, 256
stage3  3 x 3       the same, 256
======  ==========  =========================================================

The stem begins at random here; a recipe with ``whiten`` sets it from the training images and leaves it there.

Departures: of larger images, whose last pool leaves several positions, the mean is taken. The normalisations add 1e-5
to the variance, where the author's code adds 1e-12.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.paper import Paper
from striate.models.network import ImageModel
from striate.models.registry import register
from striate.nn.conv import make_conv2d
from striate.nn.heads import Head, global_pool
from striate.nn.sequence import sequence

PAPER = Paper(
    authors="Jordan",
    year=2024,
    month=4,
    title="94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
    ref="arXiv 2404.00498",
)
PATCH, WINDOW = 2, 3
"""Kernel sizes of the first convolution and of the last pool, which covers the whole map of a 32 px image."""
MOMENTUM = 0.4
"""Share of a batch in the running statistics; large, as there are few steps."""
SCALE = 1 / 9
"""What the logits are multiplied by."""


class BlockSpec(Protocol):
    """What a stage is made of."""

    def build(self, channels: int, width: int) -> nn.Module:
        """From `channels` to `width` maps of half the sides."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoConvSpec:
    """A convolution that ends in a pool, and one more."""

    def build(self, channels: int, width: int) -> nn.Module:
        """From `channels` to `width` maps of half the sides."""
        return sequence(fall=fall(channels, width), further=further(width))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeConvSpec:
    """A convolution that ends in a pool, and two more with a connection around them (section 4)."""

    def build(self, channels: int, width: int) -> nn.Module:
        """From `channels` to `width` maps of half the sides."""
        return sequence(fall=fall(channels, width), further=Around(sequence(one=further(width), two=further(width))))


@dataclass(frozen=True, slots=True, kw_only=True)
class AirbenchSpec:
    """One network of the paper.

    Args:
        widths: Channels of the stages after the stem.
        block: What each of them is made of.
    """

    widths: tuple[int, ...]
    block: BlockSpec = field(default_factory=TwoConvSpec)

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"there is a stage at least, and a width is above 0; got {self.widths}")


VARIANTS = {  # sections 3 and 4
    "airbench94": AirbenchSpec(widths=(64, 256, 256)),
    "airbench95": AirbenchSpec(widths=(128, 384, 384)),
    "airbench96": AirbenchSpec(widths=(128, 512, 512), block=ThreeConvSpec()),
}
TINY = AirbenchSpec(widths=(8, 8, 12), block=ThreeConvSpec())


@final
class ShiftNorm(nn.BatchNorm2d):
    """Batch normalisation that learns where its output lies and not how wide it is.

    Shape:
        ``[n, channels, h, w]`` to the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=MOMENTUM, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, input: Tensor) -> Tensor:
        """Normalise."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        mean, variance = self.running_mean, self.running_var
        assert variance is not None
        # PyTorch's kernels for CUDA give the bias no gradient where there is no weight
        weight = torch.ones_like(self.bias) if self.training and variance.is_cuda else None
        return F.batch_norm(input, mean, variance, weight, self.bias, self.training, MOMENTUM, self.eps)


@final
class Around(nn.Module):
    """What the body makes of its input, and the input itself.

    Shape:
        ``[n, channels, h, w]`` to the same.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Add."""
        return x + self.body(x)


@final
class Scale(nn.Module):
    """A fixed multiple.

    Shape:
        ``[n, channels]`` to the same.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x * self.factor

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"factor={self.factor:g}"


def fall(channels: int, width: int) -> nn.Sequential:
    """The convolution after which the sides are halved."""
    return sequence(conv=make_conv2d(channels, width, 3), pool=nn.MaxPool2d(2), norm=ShiftNorm(width), act=nn.GELU())


def further(width: int) -> nn.Sequential:
    """A convolution that keeps sides and channels."""
    return sequence(conv=make_conv2d(width, width, 3), norm=ShiftNorm(width), act=nn.GELU())


@final
class Airbench(ImageModel):
    """The network of section 3.

    Args:
        spec: Widths and blocks.
    """

    def __init__(self, spec: AirbenchSpec, *, classes: int = 10, in_channels: int = 3) -> None:
        side = WINDOW * 2 ** len(spec.widths) + PATCH - 1
        super().__init__(in_channels=in_channels, classes=classes, min_side=side)
        channels = 2 * in_channels * PATCH**2
        first = make_conv2d(in_channels, channels, PATCH, padding="valid", bias=True)
        self.add_stage("stem", sequence(conv=first, act=nn.GELU()), channels)
        for number, width in enumerate(spec.widths, start=1):
            self.add_stage(f"stage{number}", spec.block.build(channels, width), width, stride=2)
            channels = width
        pool = nn.Sequential(nn.MaxPool2d(WINDOW), *global_pool())
        # without a bias the features may be multiplied in place of the logits
        logits = nn.Linear(channels, classes, bias=False)
        self.head = Head({"pool": pool, "scale": Scale(SCALE), "logits": logits})
        pass_on(self)


@torch.no_grad()
def pass_on(module: nn.Module) -> None:
    """Begin every convolution as the identity, and what outputs are left over at random.

    Source:
        Section 3.3, following Zagoruyko and Komodakis 2017, DiracNets (arXiv 1706.00388).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight[: layer.in_channels])
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


register(Airbench, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 32, 32), classes=10)
