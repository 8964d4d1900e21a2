"""What training costs, estimated from sizes, and what the budget leaves.

Estimates depend on sizes alone, so the number of epochs is the same on every machine. Only a budget given by the user
brings the clock in, and it can only skip whole candidates: before they start, or while they train (`transfer.watch`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from striate.core.durations import format_duration
from striate.core.events import ProgressCallback
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
AUGMENT_IMAGE_S = 2.5e-4
"""Seconds for augmenting an image, and for everything else in a training step but the network."""
SETUP_S = 2.0
"""Seconds until the first training step of a candidate: images are decoded, an engine is prepared."""
PROBE_EVALUATIONS = 250
"""Evaluations of the objective that cross-validating one probe takes, for 5 folds."""
PROBE_BYTES = 80
"""Bytes that one evaluation moves per image, fold and output."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a candidate will cost.

    Args:
        epochs: Epochs that the plan allows.
        seconds: Estimated seconds of its training on a two-core machine; 0 if it trains nothing.
        macs: Multiply-adds of its training.
        augment_s: Estimated seconds of augmenting its images, which `seconds` leaves out.
        skip_reason: Why the plan does not allow it; empty if it does.
    """

    epochs: int
    seconds: float = 0.0
    macs: float = 0.0
    augment_s: float = 0.0
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
    augment_s = AUGMENT_IMAGE_S * images * epochs
    return Estimate(epochs=epochs, seconds=epochs * per_epoch, macs=macs, augment_s=augment_s)


def probing_seconds(images: int, width: int, outputs: int) -> float:
    """Estimated seconds of cross-validating a linear probe on a two-core machine.

    Args:
        images: Number of images.
        width: Length of a feature vector.
        outputs: Number of outputs.
    """
    each = 2 * width / MACS_PER_SECOND + PROBE_BYTES / MEMORY_BYTES_PER_SECOND
    return PROBE_EVALUATIONS * 5.0 * images * outputs * each


def busy() -> float:
    """How many times as long work takes on this machine as on an idle one, by its load; at least 1."""
    try:
        return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    except (OSError, AttributeError):  # Windows has no load average
        return 1.0


@final
class Budget:
    """What is left of the time that the user allows.

    Args:
        budget_s: Seconds for the whole run; None for no limit.
        work_s: Estimated seconds that each candidate may train for.
        began: When the run began, by `clock`; None is now.
        clock: A monotonic clock in seconds.
    """

    TOO_SHORT = 1.1
    """A run whose indispensable steps take this many times the budget says so."""
    MARGIN = 0.03
    """Fraction of the budget that is kept for what no estimate foresees."""
    PROBES = 0.25
    """Fraction of the remaining time that probing may take beyond the deepest layer."""

    def __init__(
        self,
        budget_s: float | None,
        work_s: float,
        *,
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.budget_s = budget_s
        self._began = clock() if began is None else began
        self._work_s = work_s
        self._slowness = busy()
        self._said = budget_s is None
        self._closing: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self._began

    @property
    def left(self) -> float:
        """Seconds until the winner has to be trained; infinite without a time limit, negative if they are over."""
        if self.budget_s is None:
            return float("inf")
        return self.budget_s * (1 - self.MARGIN) - self.elapsed - self.closing

    def warn(self, progress: ProgressCallback, seconds: float) -> None:
        """Say once that the budget is too short, if the steps that no run can do without take `seconds` more."""
        least = self.elapsed + seconds
        if self._said or self.budget_s is None or least <= self.TOO_SHORT * self.budget_s:
            return
        self._said = True
        progress.note(
            f"a budget of {format_duration(self.budget_s)} is too short: extracting features and fitting a linear head "
            f"take at least {format_duration(least)} here, and nothing else is tried",
            seconds_least=round(least, 1),
        )

    @property
    def closing(self) -> float:
        """Seconds that are kept for the steps after the choice."""
        return sum(self._closing.values())

    def reserve(self, step: str, seconds: float) -> None:
        """Keep time for a step that follows the choice of the winner, such as the test."""
        self._closing[step] = seconds

    def seconds(self, estimate: Estimate) -> float:
        """The seconds of evaluating a candidate on this machine; 0 if it trains nothing."""
        if not estimate.seconds:
            return 0.0
        return (SETUP_S + estimate.seconds + estimate.augment_s) * self._slowness

    def learn(self, estimate: Estimate, seconds: float) -> None:
        """Compare an estimate with the seconds that training took, to learn how fast this machine is."""
        if estimate.seconds and seconds > 1:
            self._slowness = seconds / (estimate.seconds + estimate.augment_s)

    def cheap(self, estimate: Estimate) -> bool:
        """Whether a candidate trains within a small fraction of what the plan allows."""
        return 0 < estimate.seconds <= CHEAP * self._work_s

    def skip_reason(self, estimate: Estimate, *, final: float = 0.0) -> str:
        """Why a candidate is not started; empty if it can start.

        Args:
            estimate: Its estimate.
            final: Work of training it on all images in the end, as a fraction of the estimate.
        """
        if estimate.skip_reason:
            return estimate.skip_reason
        needed, left = self.seconds(estimate) * (1 + final), self.left
        if needed <= left:
            return ""
        return f"needs about {format_duration(needed)} of the budget's remaining {format_duration(max(0.0, left))}"
