"""Batch statistics over micro-batches of a fixed size, whatever the number of processes.

A step's batch is split into equal micro-batches. A normalisation reads one of them at a time, and after the
step its running statistics are updated by the mean over all of them. So the same recipe gives the same training on one
process as on eight.

Source:
    Goyal et al. 2017, Accurate, Large Minibatch SGD (arXiv 1706.02677), section 2.3: the normalisation's batch is part
    of the loss and stays fixed when the number of workers changes.
"""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.core.errors import PlanError
from striate.training.ranks import Ranks


@torch.no_grad()
def require_several_values(module: nn.Module, *inputs: Tensor) -> None:
    """Refuse to train where a normalisation would take its statistics of a single value, which has no spread.

    Args:
        module: The network within its loss. A copy of it runs.
        inputs: A group as it will train.

    Raises:
        PlanError: A normalisation has one value per channel; the message names it.
    """
    trial = copy.deepcopy(module).train()
    for name, layer in trial.named_modules():
        if isinstance(layer, _BatchNorm):
            layer.register_forward_pre_hook(_Refusal(name.removeprefix("module.")))
    trial(*inputs)


@final
class _Refusal:
    """The hook for the beginning of a normalisation."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Look at what comes in, ``[n, channels, ...]``."""
        if inputs[0].numel() == inputs[0].shape[1]:
            raise PlanError(
                f"{self._name} would normalise over one value a channel: the group is 1 image, its map 1 position",
                hint="take a recipe whose batch and group are 2 images or more (and as many images), or a network "
                "without batch normalisation, such as lenet5",
            )


def has_statistics(module: nn.Module) -> bool:
    """Whether a network in training mode normalises by the statistics of the batch."""
    return any(isinstance(each, _BatchNorm) and each.training for each in module.modules())


@final
class Statistics:
    """The running statistics of a network's normalisations.

    Args:
        module: The network.
        passes: Groups that this process runs a step.
        ranks: The processes.
    """

    def __init__(self, module: nn.Module, passes: int, ranks: Ranks) -> None:
        norms = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
        self._counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        self._live = [b for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None]
        self._needed = bool(self._live) and (passes > 1 or ranks.world > 1)
        self._passes = passes
        self._ranks = ranks
        self._before: list[Tensor] = []
        self._sums: list[Tensor] = []

    @torch.no_grad()
    def begin_step(self) -> None:
        """Remember the statistics that every group starts from."""
        if self._needed:
            self._before = [each.clone() for each in self._live]
            self._sums = [torch.zeros_like(each) for each in self._live]

    @torch.no_grad()
    def end_micro_batch(self) -> None:
        """Take what a group made of them, and put back what it started from."""
        if self._needed:
            for total, live in zip(self._sums, self._live, strict=True):
                total.add_(live)
            for live, before in zip(self._live, self._before, strict=True):
                live.copy_(before)

    @torch.no_grad()
    def end_step(self) -> None:
        """Make them the mean over the groups of all processes."""
        if self._needed:
            flat = self._ranks.mean(torch.cat([each.flatten() for each in self._sums]) / self._passes)
            parts = flat.split([each.numel() for each in self._live])
            for live, part in zip(self._live, parts, strict=True):
                live.copy_(part.view_as(live))
            for counter in self._counters:  # a step is one update, however many passes it took
                counter.sub_(self._passes - 1)
