"""Augmentation of a batch of training images, with random draws keyed by seed, epoch and sample.

Steps that only copy pixels work on bytes. All other geometric changes are one affine resampling; it and the colour
changes work on floats, a few images at a time, so that the values stay in the processor's cache. Each purpose has its
own columns of draws. A new purpose takes new columns, so that older recipes still give the same images.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.core.preprocess import IMAGENET_MEAN
from striate.core.seed import uniforms
from striate.data import policy
from striate.data.crops import sides
from striate.data.pixels import LUMA, grey, in_parts, sampled, to_bytes, to_floats, to_planes
from striate.records.recipes import Augment

_COLUMNS = 29
_CROP, _HUE, _LIGHTING, _ERASE, _PAINT, _PAD = slice(12, 14), 14, slice(15, 18), 18, slice(21, 26), slice(27, 29)
_COMPONENTS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_DEVIATIONS = (0.2175**0.5, 0.0188**0.5, 0.0045**0.5)
"""Principal components of ImageNet's colours (rows: red, green, blue) and their standard deviations, for values from 0
to 1."""
_ERASED_AREA, _ERASED_ASPECT = (0.02, 0.4), 1 / 0.3
_FRAMES: dict[str, Literal["edge", "symmetric"]] = {"border": "edge", "reflection": "symmetric"}
"""NumPy's names of the padding modes that repeat pixels of the image."""
_THREADED = 1 << 14
"""Threads crop images with at least this many values; smaller images spend most of the time in Python itself."""


def augment(
    pixels: Tensor,
    recipe: Augment,
    *,
    seed: int,
    epoch: int,
    samples: np.ndarray,
    size: tuple[int, int] | None = None,
    proportions: Tensor | None = None,
) -> Tensor:
    """Augment a batch: crop or translate, affine map, RandAugment, colour, random erasing.

    Args:
        pixels: uint8, ``[n, h, w, channels]``.
        recipe: The augmentation; `data.mix` applies mixup and CutMix.
        seed: Random seed of the run.
        epoch: The epoch; every epoch draws other values.
        samples: Integers that identify the images, ``[n]``. The draws for an image depend on its own integer alone.
        size: Height and width of the result in pixels, if the recipe crops; None keeps those of `pixels`.
        proportions: Width over height of each image before it was stretched to `pixels`, ``[n]``; cropping undoes the
            stretching. None if no image was stretched.

    Returns:
        uint8, ``[n, *size, channels]``.
    """
    if replace(recipe, mixup=0.0, cutmix=0.0) == Augment():
        return pixels
    draws = torch.from_numpy(uniforms(samples, _COLUMNS, seed, "augment", epoch)).float()
    if recipe.flip == "alternate":
        half = torch.from_numpy(uniforms(samples, 1, seed, "flip")).float()[:, 0]
        draws[:, 0] = 1 - half if epoch % 2 else half
    if recipe.crop_scale is not None:
        height, width = pixels.shape[1:3]
        relative = 1.0 if proportions is None else proportions.numpy() * (height / width)
        part = sides(recipe.crop_scale, recipe.crop_ratio, samples, seed, "crop", epoch, relative=relative)
        pixels = _cut(pixels, *part, draws[:, _CROP].numpy(), size or (height, width))
    if recipe.pad:
        pixels = _shifted(pixels, recipe, draws[:, _PAD])

    def place(x: Tensor, draws: Tensor) -> Tensor:
        return to_bytes(_placed(x, recipe, draws))

    def colour(x: Tensor, draws: Tensor) -> Tensor:
        return to_bytes(_coloured(x, recipe, draws))

    def both(x: Tensor, draws: Tensor) -> Tensor:
        return to_bytes(_coloured(_placed(x, recipe, draws), recipe, draws))

    if recipe.rand_augment is None:
        out = in_parts(both, pixels, draws)
    else:
        out = in_parts(place, pixels, draws)
        policy.apply(out, *recipe.rand_augment, samples=samples, key=(seed, "policy", epoch))
        out = in_parts(colour, out, draws)
    if recipe.random_erasing:
        erased = np.flatnonzero(draws[:, _ERASE].numpy() < recipe.random_erasing)
        part = sides(_ERASED_AREA, _ERASED_ASPECT, samples[erased], seed, "erase", epoch)
        _erase(out, erased, *part, draws[erased][:, _PAINT].numpy())
    return out


def _cut(pixels: Tensor, tall: np.ndarray, wide: np.ndarray, place: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Crop a part of every image and resize it to `size`, with antialiasing if it becomes smaller.

    Args:
        pixels: uint8, ``[n, h, w, channels]``.
        tall: Height of the part as a fraction of the image's height, ``[n]``.
        wide: Width of the part as a fraction of the image's width, ``[n]``.
        place: Horizontal and vertical position of the part, in [0, 1): ``[n, 2]``.
        size: Height and width of the result.
    """
    n, height, width, channels = pixels.shape
    tall, wide = np.maximum((tall * height).round(), 1), np.maximum((wide * width).round(), 1)
    top, left = np.floor((height - tall + 1) * place[:, 1]), np.floor((width - wide + 1) * place[:, 0])
    boxes = np.stack([top, top + tall, left, left + wide], 1).astype(int).tolist()
    source, out = pixels.numpy(), np.empty((n, *size, channels), np.uint8)

    def cut(rows: range) -> None:
        for i in rows:
            above, below, start, end = boxes[i]
            part = source[i, above:below, start:end]
            if part.shape[:2] != size:
                x = torch.from_numpy(np.ascontiguousarray(part))[None].permute(0, 3, 1, 2)
                part = F.interpolate(x, size=size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
            out[i] = part

    threads = min(torch.get_num_threads(), n) if out[0].size >= _THREADED else 1
    if threads == 1:
        cut(range(n))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(cut, [range(first, n, threads) for first in range(threads)]))
    return torch.from_numpy(out)


def _placed(x: Tensor, recipe: Augment, draws: Tensor) -> Tensor:
    """Flip and warp. The result is bytes if pixels only move, otherwise floats."""
    if _bends(recipe):
        affine = _affine(recipe, draws, x.shape[1] / x.shape[2])
        if recipe.padding_mode != "mean":
            return sampled(to_planes(x), affine, recipe.padding_mode)
        outside = _outside(recipe, x.shape[3])[:, None, None]
        return sampled(to_planes(x).sub_(outside), affine, "zeros").add_(outside)
    if recipe.flip:
        mirrored = (draws[:, 0] < 0.5).nonzero()[:, 0]
        x = x.clone()
        x[mirrored] = x[mirrored].flip(2)
    return x


def _shifted(x: Tensor, recipe: Augment, draws: Tensor) -> Tensor:
    """Crop a random window of the original size from the padded image.

    Source:
        Lee et al. 2014, Deeply-Supervised Nets (arXiv 1409.5185), section 3.2; He et al. 2015, section 4.2.
    """
    n, height, width, channels = x.shape
    down, across = round(recipe.pad * height), round(recipe.pad * width)
    if recipe.padding_mode in _FRAMES:
        framed = np.pad(x.numpy(), ((0, 0), (down, down), (across, across), (0, 0)), _FRAMES[recipe.padding_mode])
    else:
        framed = np.empty((n, height + 2 * down, width + 2 * across, channels), np.uint8)
        framed[:] = _outside(recipe, channels).round().to(torch.uint8).numpy()
        framed[:, down : down + height, across : across + width] = x.numpy()
    corners = (draws * torch.tensor([2 * down + 1, 2 * across + 1])).int().tolist()
    out = np.empty(x.shape, np.uint8)
    for i, (top, left) in enumerate(corners):
        out[i] = framed[i, top : top + height, left : left + width]
    return torch.from_numpy(out)


def _outside(recipe: Augment, channels: int) -> Tensor:
    """The padding colour, ``[channels]``."""
    mean = 255 * torch.tensor(IMAGENET_MEAN)
    if recipe.padding_mode == "zeros":
        return torch.zeros(channels)
    return mean if channels == len(IMAGENET_MEAN) else (mean @ torch.tensor(LUMA)).expand(channels)


def _bends(recipe: Augment) -> bool:
    still = Augment()
    return any(
        getattr(recipe, name) != getattr(still, name)
        for name in ("translate", "scale", "rotate", "aspect_ratio", "shear")
    )


def _affine(recipe: Augment, draws: Tensor, aspect: float) -> Tensor:
    """Output to input coordinates, ``[n, 2, 3]``, in the units of `sampled` (sides run from -1 to 1)."""
    signed = draws * 2 - 1
    low, high = (math.log(z) for z in recipe.scale)
    zoom = torch.exp(low + (high - low) * draws[:, 1])
    stretch = torch.exp(signed[:, 2] * math.log(recipe.aspect_ratio) / 2)
    angle, shear = signed[:, 3] * math.radians(recipe.rotate), torch.tan(signed[:, 4] * math.radians(recipe.shear))
    mirror = torch.where(draws[:, 0] < 0.5, -1.0, 1.0) if recipe.flip else torch.ones(len(draws))
    across, down = stretch / zoom, 1 / (stretch * zoom)
    right, below = 2 * recipe.translate * signed[:, 5], 2 * recipe.translate * signed[:, 6]
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([cos * across * mirror, (shear * cos - sin) * down * aspect, right], 1)
    row_y = torch.stack([sin * across * mirror / aspect, (shear * sin + cos) * down, below], 1)
    return torch.stack([row_x, row_y], 1)


def _coloured(x: Tensor, recipe: Augment, draws: Tensor) -> Tensor:
    three = x.shape[1 if x.is_floating_point() else 3] == 3
    signed = (draws * 2 - 1).view(len(draws), -1, 1, 1)
    if three and (recipe.saturation or recipe.hue):
        x = to_planes(x)
    elif recipe.brightness or recipe.contrast or (three and recipe.pca_lighting):
        x = to_floats(x)
    if recipe.brightness:
        x = x.mul_(1 + recipe.brightness * signed[:, 7:8])
    if recipe.contrast:
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        x = x.sub_(mean).mul_(1 + recipe.contrast * signed[:, 8:9]).add_(mean)
    if recipe.saturation and three:
        luma = grey(x)
        x = x.sub_(luma).mul_(1 + recipe.saturation * signed[:, 9:10]).add_(luma)
    if recipe.hue and three:
        x = (_hue_rotations(recipe, draws) @ x.flatten(2)).view_as(x)
    if recipe.pca_lighting and three:
        x = x.add_(_noise(recipe, draws)[:, :, None, None])
    return x


def _hue_rotations(recipe: Augment, draws: Tensor) -> Tensor:
    """Matrices that rotate the hues about the grey axis, ``[n, 3, 3]``.

    They keep the mean of the channels, not their luma, and are much cheaper than a conversion to HSV.
    """
    angle = (2 * draws[:, _HUE] - 1) * math.radians(recipe.hue)
    # Rodrigues' formula about (1, 1, 1) / sqrt 3
    third = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    return cos * torch.eye(3) + (1 - cos) * third + sin * cross


def _noise(recipe: Augment, draws: Tensor) -> Tensor:
    """The noise along the principal components of the colours, ``[n, 3]``.

    Source:
        Krizhevsky et al. 2012, section 4.1.
    """
    normal = torch.special.ndtri(draws[:, _LIGHTING].clamp(1e-6, 1 - 1e-6)) * recipe.pca_lighting
    return 255 * (normal * torch.tensor(_DEVIATIONS)) @ torch.tensor(_COMPONENTS).T


def _erase(x: Tensor, rows: np.ndarray, tall: np.ndarray, wide: np.ndarray, draws: np.ndarray) -> None:
    """Fill a rectangle in some of the images with one random colour, in place.

    Args:
        x: uint8, ``[n, h, w, channels]``.
        rows: Which images, ``[k]``.
        tall: Height of each rectangle as a fraction of the image's height, ``[k]``.
        wide: Width of each rectangle as a fraction of the image's width, ``[k]``.
        draws: Vertical and horizontal position of each rectangle, and its colour, in [0, 1): ``[k, 5]``.

    Source:
        Zhong et al. 2017, Random Erasing Data Augmentation (arXiv 1708.04896), Algorithm 1 and section 4.2, with
        one colour per rectangle.
    """
    _, height, width, channels = x.shape
    top, left = (1 - tall) * draws[:, 0], (1 - wide) * draws[:, 1]
    fractions = np.stack([top, top + tall, left, left + wide], 1)
    boxes = (fractions * (height, height, width, width)).round().astype(int).tolist()
    colour = torch.from_numpy((255 * draws[:, 2 : 2 + min(3, channels)]).round().astype(np.uint8))
    colour = colour.repeat(1, -(-channels // 3))[:, :channels]
    for k, i in enumerate(rows.tolist()):
        above, below, start, end = boxes[k]
        x[i, above:below, start:end] = colour[k]
