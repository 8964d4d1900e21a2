"""Training images as the loop takes them: decoded once, augmented again in each epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from striate.core.preprocess import Preprocess
from striate.data.augment import augment
from striate.data.headers import Headers
from striate.data.mix import mix
from striate.records.recipes import Augment

_MOST = 2.0
"""Largest side of decoded images, as a multiple of the input; 2 needs four times the bytes on disk."""


def to_cut_from(preprocess: Preprocess, recipe: Augment, seen: Headers | None, positions: np.ndarray) -> Preprocess:
    """How training images are decoded.

    Where parts are cut out, each is decoded whole, stretched to one size for all, and large enough that a part of
    middling area fills the input. The cut takes back the stretching.

    Args:
        preprocess: What the network takes.
        recipe: What varies.
        seen: What the headers say, for recipes that cut parts out. Images are not drawn larger than they are: the
            middle one decides for all.
        positions: The training images.
    """
    if recipe.crop_scale is None or seen is None or (there := seen.middle_side(positions)) is None:
        return preprocess
    factor = max(1.0, min((sum(recipe.crop_scale) / 2) ** -0.5, _MOST, there / max(preprocess.size)))
    height, width = (round(side * factor) for side in preprocess.size)
    return replace(preprocess, size=(height, width), resize=None, fit="stretch")


@final
class PixelSource:
    """Decoded images and their labels.

    Args:
        pixels: uint8 ``[rows, h, w, channels]``; may be memory-mapped, and is then read as it is needed.
        labels: int64 ``[n]``.
        recipe: How each image is augmented.
        seed: Of the augmentation.
        names: Whole numbers that key each image's augmentation, ``[n]``; None takes its place among them.
        classes: Their number, which recipes that mix images need; None for others.
        rows: Where in `pixels` each image is, ``[n]``; None where they stand in order.
        size: Height and width that parts are cut to, in pixels; None is that of `pixels`.
        proportions: Width over height that each image had before it was stretched to `pixels`, ``[n]``; None where
            none was.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        recipe: Augment,
        *,
        seed: int,
        names: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        classes: int | None = None,
        size: tuple[int, int] | None = None,
        proportions: np.ndarray | None = None,
    ) -> None:
        self.pixels = pixels
        self.labels = labels
        if (recipe.mixup or recipe.cutmix) and classes is None:
            raise ValueError("a recipe that mixes images needs the number of classes")
        self.classes = classes
        self.recipe = recipe
        self.seed = seed
        self.size = size
        self.proportions = proportions
        self.rows = np.arange(len(labels)) if rows is None else rows
        self.names = np.arange(len(labels)) if names is None else names

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self, samples: np.ndarray) -> Tensor:
        """The labels of `samples`, before images are mixed."""
        return torch.from_numpy(self.labels[samples])

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The images of `samples` as they look in this epoch, and their labels."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[self.rows[samples]]))
        names = self.names[samples]
        proportions = None if self.proportions is None else torch.from_numpy(self.proportions[samples])
        how = {"seed": self.seed, "epoch": epoch, "samples": names}
        varied = augment(pixels, self.recipe, **how, size=self.size, proportions=proportions)
        labels = self.targets(samples)
        if self.classes is None or not (self.recipe.mixup or self.recipe.cutmix):
            return varied, labels
        return mix(varied, labels, self.recipe, **how, classes=self.classes)
