"""Padding as TensorFlow's ``same`` does: as many zeros as the size of the input asks for, the odd one after."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.nn.tracing import sides, sizes_are_open


def same_pads(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)
) -> list[int]:
    """Left, right, top and bottom for ``ceil(size / stride)`` outputs, in the order of `torch.nn.functional.pad`.

    As `striate.core.shapes.same_padding`, but the sizes may stand for any number while a call is recorded.

    Args:
        x: Maps, ``[n, channels, h, w]``.
        kernel: Sides of the window, down and across.
        stride: Its step in both directions.
        dilation: Distance between its elements in both directions.
    """
    pads: list[Any] = []  # numbers, or what stands for them
    for size, side, step, apart in reversed(list(zip(sides(x), kernel, stride, dilation, strict=True))):
        extent = apart * (side - 1) + 1
        total = (size - 1) // step * step + extent - size  # so written, torch.export sees equal sizes
        if extent < step:  # the window may leave the end of the maps out
            total = torch.sym_max(total, 0) if extent > 1 else 0
        pads += [total // 2, total - total // 2]
    return pads


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)) -> Tensor:
    """Zeros around maps, as many as `same_pads` says; where there are none, the maps themselves.

    Args:
        x: Maps, ``[n, channels, h, w]``.
        kernel: Sides of the window that follows, down and across.
        stride: Its step in both directions.
        dilation: Distance between its elements in both directions.
    """
    pads = same_pads(x, kernel, stride, dilation)
    return F.pad(x, pads) if sizes_are_open(x) or any(pads) else x
