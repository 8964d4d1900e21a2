"""What training costs, estimated from sizes, and what the budget leaves.

Estimates depend on sizes alone, so the number of epochs is the same on every machine. Only a budget given by the user
brings the clock in, and it can only skip whole candidates.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from striate.records.recipes import Recipe
from striate.records.sizes import LayerRow

MACS_PER_SECOND = 6e10
MEMORY_BYTES_PER_SECOND = 1e10
"""Both are those of a two-core processor in float32; only their ratio decides what is trained. Multiply-adds alone
would favour networks whose early stages have large maps, which wait for memory and not for arithmetic."""
PASSES_OVER_MACS = 3
"""Forward, the gradient of the input, and the gradient of the weights."""
PASSES_OVER_MAPS = 6
"""Each map is written and read in the forward pass; it and its gradient are read and written in the backward pass."""
MIN_EPOCHS = 3
CHEAP = 0.25
"""Fraction of the plan's work up to which the next step of a strategy is tried although the step before did not pay."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a candidate will cost.

    Args:
        epochs: Epochs that the plan allows.
        seconds: Estimated seconds of its training on a two-core machine; 0 if it trains nothing.
        macs: Multiply-adds of its training.
        skip_reason: Why the plan does not allow it; empty if it does.
    """

    epochs: int
    seconds: float = 0.0
    macs: float = 0.0
    skip_reason: str = ""


def training_seconds(layers: Sequence[LayerRow]) -> float:
    """Estimated seconds of one training step for one image, forward and backward.

    Args:
        layers: Sizes of the layers that are trained.
    """
    return sum(
        PASSES_OVER_MACS * row.macs / MACS_PER_SECOND
        + PASSES_OVER_MAPS * row.activation_bytes / MEMORY_BYTES_PER_SECOND
        for row in layers
    )


def estimate_training(layers: Sequence[LayerRow], recipe: Recipe, *, images: int, work_s: float) -> Estimate:
    """The epochs of a recipe that a candidate can afford, and their cost.

    Args:
        layers: Sizes of the layers that are trained.
        recipe: Its `epochs` are the maximum.
        images: Images per epoch, over all folds.
        work_s: Seconds that the plan allows each candidate.
    """
    per_epoch = training_seconds(layers) * images
    epochs = min(recipe.epochs, int(work_s / per_epoch))
    if epochs < MIN_EPOCHS:
        times = MIN_EPOCHS * per_epoch / work_s
        reason = f"{MIN_EPOCHS} epochs need {times:.1f} times the work that the plan allows: raise --budget"
        return Estimate(epochs=epochs, skip_reason=reason)
    macs = float(PASSES_OVER_MACS * sum(row.macs for row in layers) * images * epochs)
    return Estimate(epochs=epochs, seconds=epochs * per_epoch, macs=macs)


@final
class Budget:
    """What is left of the time that the user allows. The clock starts when the object is made.

    Args:
        budget_s: Seconds for the whole run; None for no limit.
        work_s: Estimated seconds that each candidate may train for.
    """

    RESERVE = 0.15

    def __init__(self, budget_s: float | None, work_s: float) -> None:
        self._began = time.monotonic()
        self._budget_s = budget_s
        self._work_s = work_s
        self._slowness = 1.0

    def learn(self, estimate: Estimate, seconds: float) -> None:
        """Compare an estimate with the seconds that training took, to learn how fast this machine is."""
        if estimate.seconds and seconds > 1:
            self._slowness = seconds / estimate.seconds

    def cheap(self, estimate: Estimate) -> bool:
        """Whether a candidate trains within a small fraction of what the plan allows."""
        return 0 < estimate.seconds <= CHEAP * self._work_s

    def skip_reason(self, estimate: Estimate) -> str:
        """Why a candidate is not started; empty if it can start."""
        if estimate.skip_reason or self._budget_s is None:
            return estimate.skip_reason
        left = self._budget_s * (1 - self.RESERVE) - (time.monotonic() - self._began)
        needed = estimate.seconds * self._slowness
        if needed <= left:
            return ""
        return f"needs about {needed:.0f} s of the budget's remaining {max(0.0, left):.0f} s"
