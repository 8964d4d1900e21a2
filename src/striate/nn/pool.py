"""Pools with the padding that published weights were trained with."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.nn.same import same_pads
from striate.nn.tracing import sizes_are_open

PoolPadding = Literal["symmetric", "same", "zeros"]
"""How a pool pads.

- ``"symmetric"``: (window - 1) // 2 at both ends (PyTorch, Caffe).
- ``"same"``: ceil(size / stride) outputs, the odd one after (TensorFlow); depends on the size of the input.
- ``"zeros"``: as much as ``"same"``, but with zeros that take part like any other number (Keras' ``ZeroPadding2D``
  before a pool without padding). Under the other rules what is padded is never the greatest and is not averaged.
"""


def check_pool_padding(padding: str) -> None:
    """Raise ValueError for a word that is not one of `PoolPadding`."""
    if padding not in get_args(PoolPadding):
        raise ValueError(f"a pool's padding is one of {', '.join(get_args(PoolPadding))}; got {padding!r}")


@final
class CeilMaxPool2d(nn.MaxPool2d):
    """The greatest of every window; a last window that reaches over the end counts too.

    Args:
        window: Side of the window.
        stride: Step in both directions, at most `window`.

    Shape:
        ``[n, c, h, w]`` to ``[n, c, ceil((h - window) / stride) + 1, ceil((w - window) / stride) + 1]``.
    """

    def __init__(self, window: int, stride: int) -> None:
        if stride > window:
            raise ValueError(f"a stride of {stride} leaves out positions between windows of {window}")
        super().__init__(window, stride, ceil_mode=True)
        self.beyond = (0, stride - 1, 0, stride - 1)

    def forward(self, input: Tensor) -> Tensor:
        """Pool."""
        if sizes_are_open(input):  # torch.export solves no inequality of ceilings
            return F.max_pool2d(F.pad(input, self.beyond, value=-float("inf")), self.kernel_size, self.stride)
        return F.max_pool2d(input, self.kernel_size, self.stride, ceil_mode=True)


@final
class SamePadMaxPool2d(nn.Module):
    """The greatest of every window, padded as TensorFlow's ``same`` does; what is padded is never the greatest.

    Args:
        window: Side of the window.
        stride: Step in both directions.

    Shape:
        ``[n, c, h, w]`` to ``[n, c, ceil(h / stride), ceil(w / stride)]``.
    """

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.window = window
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad by what this input's size asks for, then pool."""
        pads = same_pads(x, (self.window, self.window), (self.stride, self.stride))
        return F.max_pool2d(F.pad(x, pads, value=-float("inf")), self.window, self.stride)

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"window={self.window}, stride={self.stride}"


@final
class SamePadAvgPool2d(nn.Module):
    """The mean of every window, placed as TensorFlow's ``same`` does; only what lies on the map is averaged.

    Args:
        window: Side of the window.
        stride: Step in both directions; above 1 where `window` is even.

    Shape:
        ``[n, c, h, w]`` to ``[n, c, ceil(h / stride), ceil(w / stride)]``.
    """

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        if stride == 1 and window % 2 == 0:
            raise ValueError(f"a window of {window} at stride {stride} would need its padding after the map alone")
        self.window = window
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad before by what this input's size asks for; after it, the last window reaches out as far as it must."""
        left, _, top, _ = pads = same_pads(x, (self.window, self.window), (self.stride, self.stride))
        if self.stride > 1 and sizes_are_open(x):  # a pool's own padding cannot be left open
            ones = F.pad(torch.ones_like(x[:1, :1]), pads)
            return self._sums(F.pad(x, pads)) / self._sums(ones)
        return F.avg_pool2d(x, self.window, self.stride, (top, left), ceil_mode=True, count_include_pad=False)

    def _sums(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.window, self.stride, divisor_override=1)

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"window={self.window}, stride={self.stride}"


@final
class SameZeros(nn.Module):
    """Zeros around a map, as many as TensorFlow's ``same`` asks for under a window.

    Args:
        window: Side of the window that follows.
        stride: Its step in both directions.

    Shape:
        ``[n, c, h, w]`` to ``[n, c, h + padding, w + padding]``.
    """

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.window = window
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad by what this input's size asks for."""
        return F.pad(x, same_pads(x, (self.window, self.window), (self.stride, self.stride)))

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"window={self.window}, stride={self.stride}"


def max_pool2d(window: int, *, stride: int, padding: PoolPadding = "symmetric") -> nn.Module:
    """A max pool.

    Args:
        window: Side of the window.
        stride: Step in both directions.
        padding: See `PoolPadding`.
    """
    check_pool_padding(padding)
    if padding == "same":
        return SamePadMaxPool2d(window, stride)
    if padding == "zeros":
        return nn.Sequential(SameZeros(window, stride), nn.MaxPool2d(window, stride))
    return nn.MaxPool2d(window, stride, padding=(window - 1) // 2)


def avg_pool2d(window: int, *, stride: int, padding: PoolPadding = "symmetric") -> nn.Module:
    """An average pool.

    Args:
        window: Side of the window.
        stride: Step in both directions.
        padding: See `PoolPadding`.
    """
    check_pool_padding(padding)
    if padding == "same":
        return SamePadAvgPool2d(window, stride)
    if padding == "zeros":
        return nn.Sequential(SameZeros(window, stride), nn.AvgPool2d(window, stride))
    return nn.AvgPool2d(window, stride, padding=(window - 1) // 2, count_include_pad=False)
