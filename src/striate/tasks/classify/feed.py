"""Training pictures as the loop takes them: decoded once, varied anew each epoch."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from striate.data.augment import augment
from striate.data.mix import mix
from striate.records.recipes import Augment


@final
class PixelFeed:
    """Decoded pictures and their labels.

    Args:
        pixels: uint8 ``[rows, h, w, channels]``; may be memory-mapped, and is then read as it is needed.
        labels: int64 ``[n]``.
        recipe: How each picture is varied.
        seed: Of the variation.
        names: Whole numbers that each picture's variation is keyed by, ``[n]``; None takes its place among them.
        classes: Their number, which recipes that mix pictures need; None for others.
        rows: Where in `pixels` each picture is, ``[n]``; None where they stand in order.
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
    ) -> None:
        self.pixels = pixels
        self.labels = labels
        if (recipe.mixup or recipe.cutmix) and classes is None:
            raise ValueError("a recipe that mixes pictures needs the number of classes")
        self.classes = classes
        self.recipe = recipe
        self.seed = seed
        self.rows = np.arange(len(labels)) if rows is None else rows
        self.names = np.arange(len(labels)) if names is None else names

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The pictures of `samples` as they look in this epoch, and their labels."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[self.rows[samples]]))
        varied = augment(pixels, self.recipe, seed=self.seed, epoch=epoch, samples=self.names[samples])
        labels = torch.from_numpy(self.labels[samples])
        if self.classes is None or not (self.recipe.mixup or self.recipe.cutmix):
            return varied, labels
        how = {"seed": self.seed, "epoch": epoch, "samples": self.names[samples]}
        return mix(varied, labels, self.recipe, classes=self.classes, **how)
