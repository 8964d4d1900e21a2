"""Images as bytes, ``[n, h, w, channels]``, and as floats, ``[n, channels, h, w]``, both from 0 to 255."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R 601."""
_AT_ONCE = 1 << 19
"""Bytes of input that each processor works on at a time: half a MB; temporary values take a few times as much."""


def in_parts(step: Callable[..., Tensor], x: Tensor, *others: Tensor, value_bytes: int = 4) -> Tensor:
    """Apply a step to bytes, a few images at a time, so that temporary values stay in the processor's cache.

    Args:
        step: Maps some images and the matching rows of `others` to the same number of images of the same size.
        x: uint8, ``[n, h, w, channels]``.
        others: As long as `x`.
        value_bytes: Bytes per value inside the step; 4 for floats.
    """
    count, each = len(x), max(2, torch.get_num_threads() * _AT_ONCE // max(1, x[:1].numel() * value_bytes))
    out = torch.empty(x.shape, dtype=torch.uint8)
    # never a single image unless there is only one: sums over a single image may run in another order
    for start in range(0, max(1, count - 1), each):
        part = slice(start, count if start + each >= count - 1 else start + each)
        out[part] = step(x[part], *(each_of[part] for each_of in others))
    return out


def to_floats(x: Tensor) -> Tensor:
    """float32 ``[n, channels, h, w]``, with the memory layout unchanged; floats are returned as they are."""
    return x if x.is_floating_point() else x.permute(0, 3, 1, 2).float()


def to_planes(x: Tensor) -> Tensor:
    """float32 ``[n, channels, h, w]``, one channel after the other in memory; floats are returned as they are."""
    return x if x.is_floating_point() else x.permute(0, 3, 1, 2).contiguous().float()  # transposing bytes is faster


def to_bytes(x: Tensor) -> Tensor:
    """uint8 ``[n, h, w, channels]``, rounded and clamped to 0 to 255; bytes are returned as they are.

    Floats are rounded in place.
    """
    if not x.is_floating_point():
        return x
    whole = rounded(x)
    return torch.stack(whole.unbind(1), 3) if whole.is_contiguous() else whole.permute(0, 2, 3, 1)


def rounded(x: Tensor) -> Tensor:
    """uint8 of floats of any shape, which are rounded and clamped to 0 to 255 in place."""
    # a direct conversion to uint8 is not vectorised and takes five times as long
    return x.round_().clamp_(0, 255).to(torch.int16).to(torch.uint8)


def grey(x: Tensor) -> Tensor:
    """The luma of floats, ``[n, 1, h, w]``; images that do not have three channels are returned as they are."""
    if x.shape[1] != len(LUMA):
        return x
    red, green, blue = x.unbind(1)
    return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2])[:, None]


def sampled(x: Tensor, affine: Tensor, border: str) -> Tensor:
    """Resample images by an affine map with bilinear interpolation.

    Args:
        x: Floats, ``[n, channels, h, w]``; planes are fastest.
        affine: Output to input coordinates, ``[n, 2, 3]``; sides run from -1 to 1, from edge to edge.
        border: Padding mode: ``zeros``, ``border`` or ``reflection``.
    """
    across, down = _centres(x.shape[3]), _centres(x.shape[2])[:, None]
    along, below, offset = (affine[:, :, k, None, None] for k in range(3))
    # bit-identical to affine_grid, whose matrix product takes ten times as long
    places = (along * across + below * down).add_(offset)
    grid = torch.stack(places.unbind(1), 3)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=border, align_corners=False)


def _centres(count: int) -> Tensor:
    """The positions of this many pixel centres between -1 and 1."""
    return torch.linspace(-1, 1, count) * (count - 1) / count if count > 1 else torch.zeros(1)
