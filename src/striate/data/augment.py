"""Varying pictures for training, a batch at a time, each draw keyed by seed, epoch and sample.

What moves pixels is one affine resampling, what changes colours linearly is one matrix a picture. A column of draws
belongs to each purpose; a new purpose takes new columns, so that older recipes give the pictures that they gave.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.core.seed import uniforms
from striate.data import policy
from striate.records.recipes import Augment

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
_COLUMNS = 27
_CROP, _HUE, _LIGHTING, _ERASE = slice(10, 14), 14, slice(15, 18), slice(18, 27)
_COMPONENTS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_DEVIATIONS = (0.2175**0.5, 0.0188**0.5, 0.0045**0.5)
"""Principal components of ImageNet's colours, red, green and blue down, and their deviations, of values from 0 to 1."""
_ERASED_AREA, _ERASED_ASPECT = (0.02, 0.4), 1 / 0.3


def augment(pixels: Tensor, recipe: Augment, *, seed: int, epoch: int, samples: np.ndarray) -> Tensor:
    """Vary a batch: one affine resampling, then colour.

    Args:
        pixels: uint8, ``[n, h, w, channels]``.
        recipe: What varies, and how much.
        seed: Of the run.
        epoch: Of the run; another epoch draws other values.
        samples: Whole numbers that name the pictures, ``[n]``. A picture's draws depend on its own number alone.

    Returns:
        uint8, ``[n, h, w, channels]``.
    """
    if recipe == Augment():
        return pixels
    draws = torch.from_numpy(uniforms(samples, _COLUMNS, seed, "augment", epoch)).float()
    x = pixels.permute(0, 3, 1, 2).float()
    n, _, height, width = x.shape
    if _moves(recipe):
        grid = F.affine_grid(_affine(recipe, draws, height / width), [n, 1, height, width], align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode=recipe.border, align_corners=False)
    elif recipe.flip:
        x = torch.where((draws[:, 0] < 0.5).view(n, 1, 1, 1), x.flip(3), x)
    if recipe.policy is not None:
        x = policy.apply(x, *recipe.policy, samples=samples, key=(seed, "policy", epoch))
    x = _colour(x, recipe, draws)
    if (recipe.hue or recipe.lighting) and x.shape[1] == 3:
        x = _recoloured(x, recipe, draws)
    if recipe.erase:
        x = _erased(x, recipe, draws[:, _ERASE])
    return x.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _moves(recipe: Augment) -> bool:
    still = Augment(flip=recipe.flip, border=recipe.border)
    geometry = ("shift", "zoom", "rotate", "stretch", "shear", "crop")
    return any(getattr(recipe, name) != getattr(still, name) for name in geometry)


def _affine(recipe: Augment, draws: Tensor, aspect: float) -> Tensor:
    """Output to input coordinates, ``[n, 2, 3]``, in the units of `affine_grid` (sides run from -1 to 1)."""
    signed = draws * 2 - 1
    low, high = (math.log(z) for z in recipe.zoom)
    zoom = torch.exp(low + (high - low) * draws[:, 1])
    stretch = torch.exp(signed[:, 2] * math.log(recipe.stretch) / 2)
    angle, shear = signed[:, 3] * math.radians(recipe.rotate), torch.tan(signed[:, 4] * math.radians(recipe.shear))
    mirror = torch.where(draws[:, 0] < 0.5, -1.0, 1.0) if recipe.flip else torch.ones(len(draws))
    across, down = stretch / zoom, 1 / (stretch * zoom)
    right, below = 2 * recipe.shift * signed[:, 5], 2 * recipe.shift * signed[:, 6]
    if recipe.crop is not None:
        wide, high, centre_x, centre_y = _cut(recipe, draws[:, _CROP])
        across, down, right, below = across * wide, down * high, right + centre_x, below + centre_y
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([cos * across * mirror, (shear * cos - sin) * down * aspect, right], 1)
    row_y = torch.stack([sin * across * mirror / aspect, (shear * sin + cos) * down, below], 1)
    return torch.stack([row_x, row_y], 1)


def _cut(recipe: Augment, draws: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sides and centre of the part that is cut out, in shares of the picture's half sides.

    Source:
        Szegedy et al. 2014 (arXiv 1409.4842), section 6: area and aspect drawn at random.
    """
    assert recipe.crop is not None
    low, high = recipe.crop
    area = low + (high - low) * draws[:, 0]
    ratio = torch.exp((2 * draws[:, 1] - 1) * math.log(recipe.aspect))
    wide, tall = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    return wide, tall, (1 - wide) * (2 * draws[:, 2] - 1), (1 - tall) * (2 * draws[:, 3] - 1)


def _colour(x: Tensor, recipe: Augment, draws: Tensor) -> Tensor:
    signed = (draws * 2 - 1).view(len(draws), -1, 1, 1)
    if recipe.brightness:
        x = x * (1 + recipe.brightness * signed[:, 7:8])
    if recipe.contrast:
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        x = mean + (x - mean) * (1 + recipe.contrast * signed[:, 8:9])
    if recipe.saturation and x.shape[1] == 3:
        grey = (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = grey + (x - grey) * (1 + recipe.saturation * signed[:, 9:10])
    return x


def _recoloured(x: Tensor, recipe: Augment, draws: Tensor) -> Tensor:
    """Turn the hues about the grey axis, and add noise along the colours' principal components.

    The turn is linear: it keeps the mean of the channels, not their luma, and is far cheaper than a way through HSV.

    Source:
        Noise: Krizhevsky et al. 2012, section 4.1.
    """
    angle = (2 * draws[:, _HUE] - 1) * math.radians(recipe.hue)
    # Rodrigues' formula about (1, 1, 1) / sqrt 3
    third = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    turn = cos * torch.eye(3) + (1 - cos) * third + sin * cross
    normal = torch.special.ndtri(draws[:, _LIGHTING].clamp(1e-6, 1 - 1e-6)) * recipe.lighting
    offset = 255 * (normal * torch.tensor(_DEVIATIONS)) @ torch.tensor(_COMPONENTS).T
    n, channels, height, width = x.shape
    return torch.baddbmm(offset.view(n, 3, 1), turn, x.reshape(n, channels, -1)).view(n, channels, height, width)


def _erased(x: Tensor, recipe: Augment, draws: Tensor) -> Tensor:
    """Paint a rectangle of one random colour over some of the pictures.

    Source:
        Zhong et al. 2017, Random Erasing Data Augmentation (arXiv 1708.04896), Algorithm 1 and section 4.2, one colour
        a rectangle.
    """
    n, channels, height, width = x.shape
    low, high = _ERASED_AREA
    area = low + (high - low) * draws[:, 1]
    ratio = torch.exp((2 * draws[:, 2] - 1) * math.log(_ERASED_ASPECT))
    tall, wide = (area * ratio).sqrt().clamp(max=1) * height, (area / ratio).sqrt().clamp(max=1) * width
    top, left = (height - tall) * draws[:, 3], (width - wide) * draws[:, 4]
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    down = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    inside = (down[:, :, None] & across[:, None, :])[:, None] & (draws[:, 0] < recipe.erase).view(n, 1, 1, 1)
    colour = (255 * draws[:, 5 : 5 + min(3, channels)]).repeat(1, -(-channels // 3))[:, :channels]
    return torch.where(inside, colour.view(n, channels, 1, 1), x)
