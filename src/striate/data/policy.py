"""RandAugment: a few operations, drawn for each picture, all at one strength.

Source:
    Cubuk et al. 2019, RandAugment: Practical automated data augmentation with a reduced search space (arXiv
    1909.13719), Figure 2 and section 4; the ranges are those of AutoAugment (arXiv 1805.09501), Table 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from striate.core.seed import Key, uniforms
from striate.data.pixels import LUMA, grey, sampled, to_bytes, to_floats

Operation = Callable[[Tensor, Tensor], Tensor]
"""Pictures, uint8 ``[n, h, w, channels]``, and a strength ``[n]`` from -1 to 1, to pictures."""


def apply(x: Tensor, number: int, strength: float, *, samples: np.ndarray, key: tuple[Key, ...]) -> Tensor:
    """Apply `number` operations in a row to every picture.

    Args:
        x: uint8, ``[n, h, w, channels]``.
        number: The paper's N.
        strength: The paper's M, from 0 to 10.
        samples: Whole numbers that name the pictures, ``[n]``.
        key: What is drawn: seed, purpose, epoch.
    """
    draws = uniforms(samples, 2 * number, *key)
    x = x.clone()
    for turn in range(number):
        which = (draws[:, 2 * turn] * len(OPERATIONS)).astype(int)
        signs = torch.from_numpy(np.where(draws[:, 2 * turn + 1] < 0.5, -1.0, 1.0)).float() * (strength / 10)
        for drawn in np.unique(which):
            rows = torch.from_numpy(np.flatnonzero(which == drawn))
            x[rows] = OPERATIONS[drawn](x[rows], signs[rows])
    return x


def _bent(x: Tensor, matrix: list[list[Tensor | float]]) -> Tensor:
    rows = [torch.stack([torch.as_tensor(v).expand(len(x)) for v in row], 1) for row in matrix]
    return to_bytes(sampled(x.permute(0, 3, 1, 2).float(), torch.stack(rows, 1), "border"))


def identity(x: Tensor, strength: Tensor) -> Tensor:
    """Nothing."""
    return x


def rotate(x: Tensor, strength: Tensor) -> Tensor:
    """Turn by up to 30 degrees."""
    angle, aspect = strength * math.radians(30), x.shape[1] / x.shape[2]
    cos, sin = angle.cos(), angle.sin()
    return _bent(x, [[cos, -sin * aspect, 0.0], [sin / aspect, cos, 0.0]])


def shear_x(x: Tensor, strength: Tensor) -> Tensor:
    """Shear across by up to 0.3."""
    return _bent(x, [[1.0, 0.3 * strength * (x.shape[1] / x.shape[2]), 0.0], [0.0, 1.0, 0.0]])


def shear_y(x: Tensor, strength: Tensor) -> Tensor:
    """Shear down by up to 0.3."""
    return _bent(x, [[1.0, 0.0, 0.0], [0.3 * strength * (x.shape[2] / x.shape[1]), 1.0, 0.0]])


def translate_x(x: Tensor, strength: Tensor) -> Tensor:
    """Move across by up to 0.45 of the width, by whole pixels; the border is drawn out."""
    return translate_y(x.transpose(1, 2), strength).transpose(1, 2)


def translate_y(x: Tensor, strength: Tensor) -> Tensor:
    """Move down by up to 0.45 of the height, by whole pixels; the border is drawn out."""
    height = x.shape[1]
    out = torch.empty_like(x)
    for i, down in enumerate((0.45 * height * strength).round().int().tolist()):
        if down >= 0:
            out[i, : height - down], out[i, height - down :] = x[i, down:], x[i, -1:]
        else:
            out[i, -down:], out[i, :-down] = x[i, :down], x[i, :1]
    return out


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """A value a picture and channel as one a picture, column and channel: what is added to whole rows at once."""
    return values[:, None, None, :].expand(-1, -1, x.shape[2], -1).reshape(len(x), 1, -1)


def _blend(x: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    """Away from `other` or towards it; floats."""
    return x.sub_(other).mul_(1 + 0.9 * strength.view(-1, 1, 1, 1)).add_(other)


def brightness(x: Tensor, strength: Tensor) -> Tensor:
    """Towards black or away from it."""
    return _bytes_of(x.float().mul_(1 + 0.9 * strength.view(-1, 1, 1, 1)))


def contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Towards the mean grey or away from it."""
    y = x.float()
    means = y.flatten(2).mean(1).view(len(x), -1, x.shape[3]).mean(1)
    weights = torch.tensor(LUMA) if x.shape[3] == len(LUMA) else torch.full((x.shape[3],), 1 / x.shape[3])
    return _bytes_of(_blend(y, (means @ weights).view(-1, 1, 1, 1), strength))


def colour(x: Tensor, strength: Tensor) -> Tensor:
    """Towards grey or away from it."""
    y = to_floats(x)
    return to_bytes(_blend(y, grey(y), strength))


def sharpness(x: Tensor, strength: Tensor) -> Tensor:
    """Towards a blurred picture or away from it; the outermost pixels stay."""
    n, height, width, channels = x.shape
    if min(height, width) < 3:
        return x
    rows, c = x.short().view(n, height, width * channels), channels
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    inner = rows[:, 1:-1, c:-c]
    blurred = (sums[..., : -2 * c] + sums[..., c:-c] + sums[..., 2 * c :] + 4 * inner) / 13
    out = x.clone()
    sharp = _blend(inner.float()[:, None], blurred[:, None], strength)[:, 0]
    out[:, 1:-1, 1:-1] = _bytes_of(sharp).view(n, height - 2, width - 2, channels)
    return out


def posterize(x: Tensor, strength: Tensor) -> Tensor:
    """Keep the first bits of every value: from 8 down to 4."""
    kept = 256 - 2 ** (4 * strength.abs()).round().int()
    return x & kept.to(torch.uint8).view(-1, 1, 1, 1)


def solarize(x: Tensor, strength: Tensor) -> Tensor:
    """Invert what is brighter than a threshold, which falls from 256 to 0."""
    threshold = (256 * (1 - strength.abs())).ceil().short().view(-1, 1, 1, 1)
    # all bits of a negative difference's sign, by which 255 - x is an exclusive or
    return x ^ ((threshold - 1 - x) >> 15).to(torch.uint8)


def autocontrast(x: Tensor, strength: Tensor) -> Tensor:
    """Stretch every channel to the whole range."""
    columns = x.flatten(2)
    low = columns.amin(1).view(len(x), -1, x.shape[3]).amin(1).float()
    high = columns.amax(1).view(len(x), -1, x.shape[3]).amax(1).float()
    low, span = torch.where(high > low, low, 0), torch.where(high > low, high - low, 255)
    return _bytes_of((columns.float().sub_(_wide(low, x))).mul_(_wide(255 / span, x))).view_as(x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:
    """Make every value of a channel about as common as any other, as Pillow's ``ImageOps.equalize`` does."""
    n, height, width, channels = x.shape
    first = 256 * torch.arange(n * channels, dtype=torch.int32).view(n, channels)
    places = (x.flatten(2) + _wide(first, x)).flatten()  # of every value in the table of its picture and channel
    counts = torch.bincount(places, minlength=256 * n * channels).view(n * channels, 256)
    values = torch.arange(256)
    brightest = counts.gather(1, (values * (counts > 0)).amax(1, keepdim=True))
    step = (height * width - brightest) // 255
    table = (step // 2 + counts.cumsum(1) - counts) // step.clamp(min=1)
    table = torch.where(step > 0, table, values).clamp(max=255).to(torch.uint8)
    return table.flatten().index_select(0, places).view_as(x)


def _bytes_of(x: Tensor) -> Tensor:
    """Floats that stand in the order of bytes."""
    return x.round_().clamp_(0, 255).to(torch.int16).to(torch.uint8)


OPERATIONS: tuple[Operation, ...] = (
    identity,
    autocontrast,
    equalize,
    rotate,
    solarize,
    colour,
    posterize,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)
