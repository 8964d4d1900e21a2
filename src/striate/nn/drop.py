"""What is left out at random in training."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn


@final
class StochasticDepth(nn.Module):
    """Leave a residual function out for some of the images, and only in training.

    What stays is divided by its chance to stay, so that evaluation needs no factor; the paper multiplies in evaluation
    instead, which has the same expectation.

    Source:
        Huang et al. 2016, Deep Networks with Stochastic Depth (arXiv 1603.09382), equation 2.

    Args:
        survival: Chance that the function stays, above 0 and at most 1.

    Shape:
        ``[n, ...]`` to the same.
    """

    def __init__(self, survival: float) -> None:
        super().__init__()
        if not 0 < survival <= 1:
            raise ValueError(f"a chance to survive is above 0 and at most 1; got {survival}")
        self.survival = survival

    def forward(self, x: Tensor) -> Tensor:
        """Zero the function for each image by a draw of its own."""
        if not self.training or self.survival == 1.0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(self.survival)
        return x * kept.div_(self.survival)

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"survival={self.survival:g}"


def linear_survival(last: float, blocks: int) -> list[float]:
    """Chance to stay of each of `blocks` residual functions, falling evenly to `last`.

    Source:
        Huang et al. 2016, equation 4: p_l = 1 - (l / L)(1 - p_L), l counted from 1.

    Args:
        last: Chance of the last block, p_L.
        blocks: Their number, L.

    Example:
        >>> linear_survival(0.5, 4)
        [0.875, 0.75, 0.625, 0.5]
    """
    return [1 - index / blocks * (1 - last) for index in range(1, blocks + 1)]
