"""Gates: what a network has seen of the whole image scales its maps, one by one."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class SqueezeExcite(nn.Module):
    """Squeeze every map to its mean, excite each by a factor from 0 to 1 that all the means decide.

    Source:
        Hu et al. 2017, Squeeze-and-Excitation Networks (arXiv 1709.01507), section 3, equations 2 to 4.

    Args:
        channels: Maps in and out.
        squeezed: Width between the two linear layers (channels over the paper's reduction ratio r).
        act: Between the two, called with ``inplace=True``.

    Shape:
        ``[n, channels, h, w]`` to the same.
    """

    def __init__(self, channels: int, squeezed: int, *, act: type[nn.ReLU] | type[nn.SiLU] = nn.ReLU) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.act = act(inplace=True)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Scale every map by its gate."""
        return x * self.gate(self.fc2(self.act(self.fc1(self.pool(x)))))
