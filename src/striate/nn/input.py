"""The first layer of everything: bytes of images to what a network takes, so that no caller can normalise wrongly."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from striate.core.preprocess import Preprocess


@final
class InputNormalization(nn.Module):
    """Normalise decoded images as their weights ask.

    Shape:
        uint8 ``[n, h, w, channels]`` to float32 ``[n, channels, h, w]``, in channels-last memory.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        scale, offset = preprocess.affine()
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("offset", torch.tensor(offset).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Bytes to normalised channels."""
        return pixels.permute(0, 3, 1, 2).float() * self.scale + self.offset
