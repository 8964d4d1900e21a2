"""What a training does when the machine has too little memory, or when the loss becomes NaN or infinite."""

from __future__ import annotations

import gc
from dataclasses import asdict, dataclass, replace
from typing import final

import torch

from striate.core.device import ran_out_of_memory
from striate.core.errors import NonFiniteLossError, OutOfMemoryError
from striate.core.events import ProgressCallback
from striate.records.results import MicroBatch
from striate.training.batches import Layout
from striate.training.ranks import Ranks
from striate.training.state import State
from striate.training.statistics import has_statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """Why training returns to its last saved state, and what changes from there on.

    Args:
        reason: What happened.
        layout: Smaller micro-batches; None halves the learning rate.
    """

    reason: str
    layout: Layout | None = None


@final
class Recovery:
    """Chooses the micro-batch that fits, and returns to the last saved state after an error.

    Args:
        state: What training changes.
        ranks: The processes that train together.
        device: Where this process computes.
        progress: Is told what changed.
    """

    def __init__(self, state: State, ranks: Ranks, device: torch.device, progress: ProgressCallback) -> None:
        self._state, self._ranks, self._device, self._progress = state, ranks, device, progress
        self._uses_batch_statistics = has_statistics(state.module.train())

    def begin(self, layout: Layout, precision: str, max_micro_batch: int | None) -> Layout:
        """The layout of a resumed state, or the one that fits into memory; the state keeps it and the precision."""
        now = self._state.progress
        if not now.micro_batches:
            limits = [each for each in self._ranks.gather(max_micro_batch) if each is not None]
            asked, now.precision = layout.micro_batch, precision
            while limits and layout.micro_batch > min(limits) and (smaller := self._smaller(layout)) is not None:
                layout = smaller
            now.micro_batches = [asdict(MicroBatch(step=0, images=layout.micro_batch))]
            if layout.micro_batch < asked:
                self._progress.note(
                    f"{asked} images at a time do not fit into memory; using {self._described(layout)}",
                    asked=asked,
                    images=layout.micro_batch,
                )
        return replace(layout, micro_batch=now.micro_batches[-1]["images"])

    def setback(self, error: Exception, layout: Layout) -> Setback:
        """What to change after an error.

        Raises:
            NonFiniteLossError: It was one, and nothing is left to try.
            OutOfMemoryError: Memory is full, and nothing is left to try.
        """
        if isinstance(error, NonFiniteLossError):
            if self._state.progress.halved_at is not None or self._state.file is None:
                raise error
            return Setback(reason=error.message)
        if not ran_out_of_memory(error):
            raise error
        reason = f"memory ran out at {layout.micro_batch} images at a time"
        smaller = self._smaller(layout)
        if smaller is None or self._state.file is None or self._ranks.world > 1:
            raise OutOfMemoryError(
                f"{reason}, after step {self._state.progress.step} of {self._state.steps}",
                hint="use a smaller --micro-batch, smaller images, a smaller network or --precision bf16",
            ) from error
        return Setback(reason=reason, layout=smaller)

    def go_back(self, setback: Setback, layout: Layout) -> Layout:
        """Restore the last saved state.

        Returns:
            The layout to continue with.
        """
        self._ranks.wait()
        self._state.go_back()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        now = self._state.progress
        if setback.layout is None:
            now.halved_at = now.step
            event, change = "halved", "half the learning rate"
        else:
            layout = setback.layout
            now.micro_batches.append(asdict(MicroBatch(step=now.step, images=layout.micro_batch)))
            event, change = "regrouped", self._described(layout)
        self._progress.note(
            f"{setback.reason}; training went back to step {now.step} and continues with {change}", step=now.step
        )
        self._progress.record(event, {"step": now.step, "reason": setback.reason, "micro_batch": layout.micro_batch})
        self._state.save()
        return layout

    def _smaller(self, layout: Layout) -> Layout | None:
        """Micro-batches of half the size; None when there are none, or batch-norm statistics would be of one image."""
        smaller = layout.smaller()
        return None if smaller is None or (smaller.micro_batch == 1 and self._uses_batch_statistics) else smaller

    def _described(self, layout: Layout) -> str:
        words = f"{layout.micro_batches} micro-batches of {layout.micro_batch} images per step"
        return f"{words}; batch-norm statistics are those of a micro-batch" if self._uses_batch_statistics else words
