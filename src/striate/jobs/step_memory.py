"""How many images a training step may take at a time, by the sizing engine's estimate of memory."""

from __future__ import annotations

import torch

from striate.core.device import free_bytes
from striate.models import StagedModel
from striate.records.recipes import Recipe
from striate.sizing.memory import largest_batch, peak_bytes
from striate.sizing.trace import on_meta

MAX_OF_FREE = 0.9
"""Fraction of free memory that a step may take: kernels and other processes need some too."""


def max_micro_batch(
    network: StagedModel, shape: tuple[int, int, int], recipe: Recipe, precision: str, device: torch.device
) -> int | None:
    """The most images at a time for which a training step is estimated to fit into free memory.

    Args:
        network: On the device already.
        shape: Channels, height and width of its input.
        recipe: Its optimizer, micro-batch and EMA.
        precision: Of the arithmetic.
        device: Where it trains.

    Returns:
        None when the recipe's own micro-batch fits, or when the device does not report its free memory.
    """
    free = free_bytes(device)
    if free is None:
        return None
    model = on_meta(network)
    kept = sum(each.nbytes for each in model.parameters())
    states = 2 if recipe.optimizer == "adamw" else int(recipe.optimizer == "rmsprop") + int(recipe.momentum > 0)
    room = int(MAX_OF_FREE * free) + kept * (0 if recipe.ema_decay else 1)  # the network is there already
    if precision == "bf16":  # weights, gradients and optimizer state stay float32, beside copies of the weights
        model = model.to(torch.bfloat16)
        room -= kept * (2 + states) // 2 + kept // 2
    optimiser = ("sgd", "momentum", "adam")[states]
    micro_batch = recipe.micro_batch or recipe.batch
    if peak_bytes(model, shape, batch=micro_batch, training=True, optimiser=optimiser) <= room:
        return None
    return max(1, largest_batch(model, shape, max(1, room), training=True, optimiser=optimiser))
