"""Pictures as bytes, ``[n, h, w, channels]``, and as floats, ``[n, channels, h, w]``, both from 0 to 255."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey: ITU-R 601."""


def to_floats(x: Tensor) -> Tensor:
    """float32 ``[n, channels, h, w]``, a channel after the other in memory; floats are given back as they are."""
    return x if x.is_floating_point() else x.permute(0, 3, 1, 2).contiguous().float()


def to_bytes(x: Tensor) -> Tensor:
    """uint8 ``[n, h, w, channels]``, rounded and held within 0 to 255; bytes are given back as they are.

    Floats are rounded in place.
    """
    if not x.is_floating_point():
        return x
    # straight to uint8 this conversion is not vectorised, and takes five times as long
    whole = x.round_().clamp_(0, 255).to(torch.int16).to(torch.uint8)
    return torch.stack(whole.unbind(1), 3) if whole.is_contiguous() else whole.permute(0, 2, 3, 1)


def sampled(x: Tensor, affine: Tensor, border: str) -> Tensor:
    """Draw pictures anew by an affine map, bilinearly.

    Args:
        x: float, ``[n, channels, h, w]``.
        affine: Output to input coordinates, ``[n, 2, 3]``; sides run from -1 to 1, from edge to edge.
        border: What lies outside: ``zeros``, ``border`` or ``reflection``.
    """
    across, down = (_centres(side) for side in (x.shape[3], x.shape[2]))
    grid = torch.empty(len(x), *x.shape[2:], 2)
    for axis in (0, 1):
        # the same sums, to the bit, as those of affine_grid, whose matrix product takes 20 times as long
        along, below, offset = (affine[:, axis, k, None, None] for k in range(3))
        torch.add(along * across, below * down[:, None], out=grid[..., axis])
        grid[..., axis] += offset
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=border, align_corners=False)


def _centres(count: int) -> Tensor:
    """Where the centres of so many pixels lie between -1 and 1."""
    return torch.linspace(-1, 1, count) * (count - 1) / count if count > 1 else torch.zeros(1)


def grey(x: Tensor) -> Tensor:
    """The luma of floats, ``[n, 1, h, w]``; pictures without three channels have none, and stay."""
    if x.shape[1] != len(LUMA):
        return x
    red, green, blue = x.unbind(1)
    return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2])[:, None]
