"""RandAugment: a few random operations per image, all with the same magnitude.

Source:
    Cubuk et al. 2019, RandAugment: Practical automated data augmentation with a reduced search space (arXiv
    1909.13719), Figure 2 and section 4; the ranges are those of AutoAugment (arXiv 1805.09501), Table 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from striate.core.seed import Key, uniforms
from striate.data.pixels import LUMA, grey, in_parts, rounded, to_bytes, to_planes

_FILL = 128
"""Value of the pixels outside the image: the middle grey of the authors' code."""
Operation = Callable[[Tensor, Tensor], Tensor]
"""Images, uint8 ``[n, h, w, channels]``, and a magnitude ``[n]`` from -1 to 1, to images."""


def apply(x: Tensor, number: int, strength: float, *, samples: np.ndarray, key: tuple[Key, ...]) -> None:
    """Apply `number` operations in a row to every image.

    Args:
        x: uint8, ``[n, h, w, channels]``; changed in place.
        number: Number of operations, the paper's N.
        strength: The magnitude, the paper's M, from 0 to 10.
        samples: Integers that identify the images, ``[n]``.
        key: Key of the random draws: seed, purpose, epoch.
    """
    draws = uniforms(samples, 2 * number, *key)
    for turn in range(number):
        which = (draws[:, 2 * turn] * len(OPERATIONS)).astype(int)
        signs = torch.from_numpy(np.where(draws[:, 2 * turn + 1] < 0.5, -1.0, 1.0)).float() * (strength / 10)
        for drawn in np.unique(which):
            rows = torch.from_numpy(np.flatnonzero(which == drawn))
            x[rows] = in_parts(OPERATIONS[drawn], x[rows], signs[rows])


def _bent(x: Tensor, matrices: Tensor) -> Tensor:
    """Transform images about their centres with nearest-neighbour resampling, as Pillow does in the authors' code.

    Args:
        x: Bytes of 1 to 4 channels.
        matrices: Output to input coordinates in pixels, ``[n, 2, 2]``.
    """
    n, height, width, channels = x.shape
    centre = torch.tensor([width / 2, height / 2])
    offsets = centre - matrices @ centre
    bent = []
    for image, rows in zip(x.numpy(), torch.cat([matrices, offsets[:, :, None]], 2).flatten(1).tolist(), strict=True):
        pil_image = Image.fromarray(image[..., 0] if channels == 1 else image)
        fill = _FILL if channels == 1 else (_FILL,) * channels
        bent.append(np.asarray(pil_image.transform(pil_image.size, Image.Transform.AFFINE, rows, fillcolor=fill)))
    return torch.from_numpy(np.stack(bent)).view(n, height, width, channels)


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def identity(x: Tensor, strength: Tensor) -> Tensor:
    """Leave images unchanged."""
    return x


def rotate(x: Tensor, strength: Tensor) -> Tensor:
    """Rotate by up to 30 degrees."""
    angle = strength * math.radians(30)
    return _bent(x, _matrices([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]]))


def shear_x(x: Tensor, strength: Tensor) -> Tensor:
    """Shear horizontally by up to 0.3."""
    one = torch.ones_like(strength)
    return _bent(x, _matrices([[one, 0.3 * strength], [0 * one, one]]))


def shear_y(x: Tensor, strength: Tensor) -> Tensor:
    """Shear vertically by up to 0.3."""
    one = torch.ones_like(strength)
    return _bent(x, _matrices([[one, 0 * one], [0.3 * strength, one]]))


def translate_x(x: Tensor, strength: Tensor) -> Tensor:
    """Translate horizontally by up to 0.45 of the width."""
    return translate_y(x.transpose(1, 2), strength).transpose(1, 2)


def translate_y(x: Tensor, strength: Tensor) -> Tensor:
    """Translate vertically by up to 0.45 of the height."""
    height, out = x.shape[1], torch.full_like(x, _FILL)
    for i, down in enumerate((0.45 * height * strength).round().int().tolist()):
        if down >= 0:
            out[i, : height - down] = x[i, down:]
        else:
            out[i, -down:] = x[i, :down]
    return out


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """One value per image and channel, repeated for every column, so that whole rows are computed at once."""
    return values[:, None, None, :].expand(-1, -1, x.shape[2], -1).reshape(len(x), 1, -1)


def _blend(x: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    """Extrapolate away from `other` or interpolate towards it; floats."""
    return x.sub_(other).mul_(1 + 0.9 * strength.view(-1, 1, 1, 1)).add_(other)


def brightness(x: Tensor, strength: Tensor) -> Tensor:
    """Decrease or increase the brightness."""
    return rounded(x.float().mul_(1 + 0.9 * strength.view(-1, 1, 1, 1)))


def contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Decrease or increase the contrast to the mean grey."""
    y = x.float()
    means = y.flatten(2).mean(1).view(len(x), -1, x.shape[3]).mean(1)
    weights = torch.tensor(LUMA) if x.shape[3] == len(LUMA) else torch.full((x.shape[3],), 1 / x.shape[3])
    return rounded(_blend(y, (means @ weights).view(-1, 1, 1, 1), strength))


def colour(x: Tensor, strength: Tensor) -> Tensor:
    """Decrease or increase the saturation."""
    y = to_planes(x)
    return to_bytes(_blend(y, grey(y), strength))


def sharpness(x: Tensor, strength: Tensor) -> Tensor:
    """Blur or sharpen; the outermost pixels stay."""
    n, height, width, channels = x.shape
    if min(height, width) < 3:
        return x
    rows, c = x.short().view(n, height, width * channels), channels
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    inner = rows[:, 1:-1, c:-c]
    blurred = (sums[..., : -2 * c] + sums[..., c:-c] + sums[..., 2 * c :] + 4 * inner) / 13
    out = x.clone()
    sharp = _blend(inner.float()[:, None], blurred[:, None], strength)[:, 0]
    out[:, 1:-1, 1:-1] = rounded(sharp).view(n, height - 2, width - 2, channels)
    return out


def posterize(x: Tensor, strength: Tensor) -> Tensor:
    """Keep the first bits of every value: from 8 down to 4."""
    kept = 256 - 2 ** (4 * strength.abs()).round().int()
    return x & kept.to(torch.uint8).view(-1, 1, 1, 1)


def solarize(x: Tensor, strength: Tensor) -> Tensor:
    """Invert values above a threshold, which falls from 256 to 0."""
    threshold = (256 * (1 - strength.abs())).ceil().short().view(-1, 1, 1, 1)
    # the shift gives all ones for a negative difference, and 255 - x is an exclusive or with all ones
    return x ^ ((threshold - 1 - x) >> 15).to(torch.uint8)


def autocontrast(x: Tensor, strength: Tensor) -> Tensor:
    """Stretch every channel to the whole range."""
    columns = x.flatten(2)
    low = columns.amin(1).view(len(x), -1, x.shape[3]).amin(1).float()
    high = columns.amax(1).view(len(x), -1, x.shape[3]).amax(1).float()
    low, span = torch.where(high > low, low, 0), torch.where(high > low, high - low, 255)
    return rounded(columns.float().sub_(_wide(low, x)).mul_(_wide(255 / span, x))).view_as(x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:
    """Equalise the histogram of every channel, as Pillow's ``ImageOps.equalize`` does."""
    n, height, width, channels = x.shape
    first = 256 * torch.arange(n * channels, dtype=torch.int32).view(n, channels)
    places = (x.flatten(2) + _wide(first, x)).flatten()  # position of every value in the table of its image and channel
    counts = torch.bincount(places, minlength=256 * n * channels).view(n * channels, 256)
    values = torch.arange(256)
    brightest = counts.gather(1, (values * (counts > 0)).amax(1, keepdim=True))
    step = (height * width - brightest) // 255
    table = (step // 2 + counts.cumsum(1) - counts) // step.clamp(min=1)
    table = torch.where(step > 0, table, values).clamp(max=255).to(torch.uint8)
    return table.flatten().index_select(0, places).view_as(x)


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
