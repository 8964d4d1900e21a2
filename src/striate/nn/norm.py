"""Normalisations that several papers use."""

from __future__ import annotations

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn


@final
class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of maps, at each position alone.

    Shape:
        ``[n, channels, h, w]`` to the same, in channels-last memory.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise with the channels last; turning the axes copies nothing."""
        x = input.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
