"""mixup and CutMix: two images in one, with the labels in the same proportion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.core.seed import generator
from striate.data.pixels import in_parts
from striate.records.recipes import Augment

_PARTS = 128
"""The weights of blended images are multiples of 1 / this number; 255 times this number fits into 16 bits."""


def mix(
    pixels: Tensor, labels: Tensor, recipe: Augment, *, classes: int, seed: int, epoch: int, samples: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Mix each image of a batch with another image of the batch: the first with the last, and so on.

    Args:
        pixels: uint8, ``[n, h, w, channels]``.
        labels: int64, ``[n]``.
        recipe: Its ``mixup`` and ``cutmix``; with both, each batch takes one of them, each with probability 0.5.
        classes: Number of classes.
        seed: Random seed of the run.
        epoch: The epoch.
        samples: Integers that identify the images, ``[n]``; the first one keys the draws of the batch.

    Returns:
        uint8 images, and the fraction of every class, ``[n, classes]``.

    Source:
        mixup: Zhang et al. 2017 (arXiv 1710.09412), equation 2. CutMix: Yun et al. 2019 (arXiv 1905.04899), equations 1
        and 2; the fraction is that of the pasted pixels.
    """
    draw = generator(seed, "mix", epoch, int(samples[0]))
    blends = bool(recipe.mixup) and (not recipe.cutmix or draw.random() < 0.5)
    strength = recipe.mixup if blends else recipe.cutmix
    fraction = float(draw.beta(strength, strength))
    if blends:
        weight = round(_PARTS * fraction)
        mixed, fraction = _blended(pixels, weight), weight / _PARTS
    else:
        _, height, width, _ = pixels.shape
        tall, wide = round(height * (1 - fraction) ** 0.5), round(width * (1 - fraction) ** 0.5)
        top, left = int(draw.integers(0, height - tall + 1)), int(draw.integers(0, width - wide + 1))
        mixed = pixels.clone()
        mixed[:, top : top + tall, left : left + wide] = pixels[:, top : top + tall, left : left + wide].flip(0)
        fraction = 1 - tall * wide / (height * width)
    fractions, rows, own = np.zeros((len(labels), classes), np.float32), np.arange(len(labels)), labels.numpy()
    fractions[rows, own] = fraction
    fractions[rows, own[::-1]] += 1 - fraction
    return mixed, torch.from_numpy(fractions)


def _blended(pixels: Tensor, weight: int) -> Tensor:
    """Blend each image with its partner by weights in 128ths, in 16-bit integers."""

    def blend(own: Tensor, others: Tensor) -> Tensor:
        change = own.short().sub_(others).mul_(weight).add_(_PARTS // 2).bitwise_right_shift_(7)
        return change.to(torch.uint8).add_(others)  # below 0 it wraps around, and so does the sum

    return in_parts(blend, pixels, pixels.flip(0), value_bytes=2)
