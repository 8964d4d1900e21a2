"""Varying pictures for training, a batch at a time, each draw keyed by seed, epoch and sample."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.core.seed import uniforms
from striate.records.recipes import Augment

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


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
    draws = torch.from_numpy(uniforms(samples, 10, seed, "augment", epoch)).float()
    x = pixels.permute(0, 3, 1, 2).float()
    n, _, height, width = x.shape
    if _moves(recipe):
        grid = F.affine_grid(_affine(recipe, draws, height / width), [n, 1, height, width], align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode=recipe.border, align_corners=False)
    elif recipe.flip:
        x = torch.where((draws[:, 0] < 0.5).view(n, 1, 1, 1), x.flip(3), x)
    x = _colour(x, recipe, draws)
    return x.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _moves(recipe: Augment) -> bool:
    still = Augment(flip=recipe.flip, border=recipe.border)
    geometry = ("shift", "zoom", "rotate", "stretch", "shear")
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
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack(
        [cos * across * mirror, (shear * cos - sin) * down * aspect, 2 * recipe.shift * signed[:, 5]], 1
    )
    row_y = torch.stack(
        [sin * across * mirror / aspect, (shear * sin + cos) * down, 2 * recipe.shift * signed[:, 6]], 1
    )
    return torch.stack([row_x, row_y], 1)


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
