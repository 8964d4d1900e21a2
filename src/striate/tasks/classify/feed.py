"""Training pictures as the loop takes them: decoded once, varied anew each epoch."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from striate.data.augment import augment
from striate.records.recipes import Augment


@final
class PixelFeed:
    """Decoded pictures and their labels.

    Args:
        pixels: uint8 ``[n, h, w, channels]``; may be memory-mapped.
        labels: int64 ``[n]``.
        recipe: How each picture is varied.
        seed: Of the variation.
        names: Whole numbers that each picture's variation is keyed by, ``[n]``; None takes its place among them.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        recipe: Augment,
        *,
        seed: int,
        names: np.ndarray | None = None,
    ) -> None:
        self.pixels = pixels
        self.labels = labels
        self.recipe = recipe
        self.seed = seed
        self.names = np.arange(len(labels)) if names is None else names

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The pictures of `samples` as they look in this epoch, and their labels."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[samples]))
        varied = augment(pixels, self.recipe, seed=self.seed, epoch=epoch, samples=self.names[samples])
        return varied, torch.from_numpy(self.labels[samples])
