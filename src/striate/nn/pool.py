"""Pools with the padding that published weights were trained with."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.shapes import same_padding

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
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):  # F.pad takes the last axis first
            pads += same_padding(int(size), self.window, self.stride)
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
        before = [same_padding(int(size), self.window, self.stride)[0] for size in x.shape[2:]]
        return F.avg_pool2d(x, self.window, self.stride, before, ceil_mode=True, count_include_pad=False)

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
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):  # F.pad takes the last axis first
            pads += same_padding(int(size), self.window, self.stride)
        return F.pad(x, pads)

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
