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
import torch.nn.functional as F
from torch import Tensor

from striate.core.seed import Key, uniforms

_LUMA = (0.299, 0.587, 0.114)
Operation = Callable[[Tensor, Tensor], Tensor]
"""Pictures ``[n, channels, h, w]``, values from 0 to 255, and a strength ``[n]`` from -1 to 1, to pictures."""


def apply(x: Tensor, number: int, strength: float, *, samples: np.ndarray, key: tuple[Key, ...]) -> Tensor:
    """Apply `number` operations in a row to every picture.

    Args:
        x: float, ``[n, channels, h, w]``, values from 0 to 255.
        number: The paper's N.
        strength: The paper's M, from 0 to 10.
        samples: Whole numbers that name the pictures, ``[n]``.
        key: What is drawn: seed, purpose, epoch.
    """
    draws = uniforms(samples, 2 * number, *key)
    for turn in range(number):
        which = (draws[:, 2 * turn] * len(OPERATIONS)).astype(int)
        signs = torch.from_numpy(np.where(draws[:, 2 * turn + 1] < 0.5, -1.0, 1.0)).float() * (strength / 10)
        x = x.clone()
        for number_, operation in enumerate(OPERATIONS):
            rows = torch.from_numpy(np.flatnonzero(which == number_))
            if len(rows):
                x[rows] = operation(x[rows], signs[rows]).clamp_(0, 255)
    return x


def _affine(x: Tensor, matrix: list[list[Tensor | float]]) -> Tensor:
    rows = [torch.stack([torch.as_tensor(v).expand(len(x)) for v in row], 1) for row in matrix]
    grid = F.affine_grid(torch.stack(rows, 1), [len(x), 1, *x.shape[2:]], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _view(strength: Tensor) -> Tensor:
    return strength.view(-1, 1, 1, 1)


def identity(x: Tensor, strength: Tensor) -> Tensor:
    """Nothing."""
    return x


def rotate(x: Tensor, strength: Tensor) -> Tensor:
    """Turn by up to 30 degrees."""
    angle, aspect = strength * math.radians(30), x.shape[2] / x.shape[3]
    cos, sin = angle.cos(), angle.sin()
    return _affine(x, [[cos, -sin * aspect, 0.0], [sin / aspect, cos, 0.0]])


def shear_x(x: Tensor, strength: Tensor) -> Tensor:
    """Shear across by up to 0.3."""
    return _affine(x, [[1.0, 0.3 * strength * (x.shape[2] / x.shape[3]), 0.0], [0.0, 1.0, 0.0]])


def shear_y(x: Tensor, strength: Tensor) -> Tensor:
    """Shear down by up to 0.3."""
    return _affine(x, [[1.0, 0.0, 0.0], [0.3 * strength * (x.shape[3] / x.shape[2]), 1.0, 0.0]])


def translate_x(x: Tensor, strength: Tensor) -> Tensor:
    """Move across by up to 0.45 of the width."""
    return _affine(x, [[1.0, 0.0, 0.9 * strength], [0.0, 1.0, 0.0]])


def translate_y(x: Tensor, strength: Tensor) -> Tensor:
    """Move down by up to 0.45 of the height."""
    return _affine(x, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.9 * strength]])


def _blend(x: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    return other + (x - other) * (1 + 0.9 * _view(strength))


def brightness(x: Tensor, strength: Tensor) -> Tensor:
    """Towards black or away from it."""
    return _blend(x, torch.zeros(()), strength)


def _grey(x: Tensor) -> Tensor:
    return (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True) if x.shape[1] == 3 else x


def contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Towards the mean grey or away from it."""
    return _blend(x, _grey(x).mean((1, 2, 3), keepdim=True), strength)


def colour(x: Tensor, strength: Tensor) -> Tensor:
    """Towards grey or away from it."""
    return _blend(x, _grey(x), strength)


def sharpness(x: Tensor, strength: Tensor) -> Tensor:
    """Towards a blurred picture or away from it; the outermost pixels stay."""
    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]).div_(13).expand(x.shape[1], 1, 3, 3)
    blurred = x.clone()
    blurred[:, :, 1:-1, 1:-1] = F.conv2d(x, kernel, groups=x.shape[1])
    return _blend(x, blurred, strength)


def posterize(x: Tensor, strength: Tensor) -> Tensor:
    """Keep the first bits of every value: from 8 down to 4."""
    step = 2 ** (4 * strength.abs()).round()
    return (x.round() / _view(step)).floor() * _view(step)


def solarize(x: Tensor, strength: Tensor) -> Tensor:
    """Invert what is brighter than a threshold, which falls from 256 to 0."""
    return torch.where(x >= 256 * (1 - _view(strength.abs())), 255 - x, x)


def autocontrast(x: Tensor, strength: Tensor) -> Tensor:
    """Stretch every channel to the whole range."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) * 255 / (high - low).clamp(min=1e-6), x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:
    """Make every value of a channel about as common as any other, as Pillow's ``ImageOps.equalize`` does."""
    flat = x.round().clamp(0, 255).long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(flat), 256, dtype=torch.long).scatter_add_(1, flat, torch.ones_like(flat))
    brightest = counts.gather(1, flat.amax(1, keepdim=True))
    step = (flat.shape[1] - brightest) // 255
    table = (step // 2 + counts.cumsum(1) - counts) // step.clamp(min=1)
    return torch.where(step > 0, table.gather(1, flat), flat).view_as(x).to(x.dtype)


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
