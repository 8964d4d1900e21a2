"""An exponential moving average (EMA) of the weights, often more accurate than the last weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn


@final
class Average:
    """An exponential moving average of a network's weights and statistics.

    Args:
        module: The network.
        decay: Share of the average that stays at each step; early on less, so that the first weights soon fade.

    Source:
        Polyak and Juditsky 1992; the rising decay min(decay, (1 + t) / (10 + t)) is TensorFlow's
        ``ExponentialMovingAverage`` with ``num_updates``.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._live = {name: t for name, t in module.state_dict(keep_vars=True).items() if t.is_floating_point()}
        self._mean = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after step number `step`, from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, mean in self._mean.items():
            mean.lerp_(self._live[name], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this, the network has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, live in self._live.items():
            kept = live.detach().clone()
            live.copy_(self._mean[name])
            self._mean[name] = kept

    @torch.no_grad()
    def keep(self) -> None:
        """Give the network the averaged weights for good."""
        for name, live in self._live.items():
            live.copy_(self._mean[name])

    def state(self) -> dict[str, Tensor]:
        """The averages by name."""
        return dict(self._mean)

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name, tensor in tensors.items():
            self._mean[name].copy_(tensor)
