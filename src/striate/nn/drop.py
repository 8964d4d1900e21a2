"""Layers that drop something at random in training."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class StochasticDepth(nn.Module):
    """Drop a residual function for some images in training (also called drop path).

    The outputs that are kept are divided by the probability of keeping them, so that evaluation needs no factor. The
    paper multiplies in evaluation instead, which has the same expectation.

    Source:
        Huang et al. 2016, Deep Networks with Stochastic Depth (arXiv 1603.09382), equation 2.

    Args:
        drop_path_rate: Probability of dropping the function, at least 0 and below 1.

    Shape:
        ``[n, channels, h, w]`` to the same.
    """

    def __init__(self, drop_path_rate: float) -> None:
        super().__init__()
        check_drop_path_rate(drop_path_rate)
        self.drop_path_rate = drop_path_rate

    def forward(self, x: Tensor) -> Tensor:
        """Draw for each image whether to set the function to zero."""
        if not self.training or self.drop_path_rate == 0:
            return x
        keep = 1 - self.drop_path_rate
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep)
        return x * kept.div_(keep)

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"drop_path_rate={self.drop_path_rate:g}"


def check_drop_path_rate(rate: float) -> None:
    """Raise ValueError for a drop path rate that is negative, or 1 and above."""
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path_rate must be at least 0 and below 1; got {rate}")


def linear_drop_path(last: float, blocks: int) -> list[float]:
    """Drop path rate of each of `blocks` residual functions, rising linearly to `last`.

    Source:
        Huang et al. 2016, equation 4: 1 - p_l = (l / L)(1 - p_L), l counted from 1.

    Args:
        last: Drop path rate of the last block, 1 - p_L.
        blocks: Number of blocks, L.

    Example:
        >>> linear_drop_path(0.5, 4)
        [0.125, 0.25, 0.375, 0.5]
    """
    return [index / blocks * last for index in range(1, blocks + 1)]
