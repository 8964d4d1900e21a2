"""Fine-tuning of the top stages, after the linear head: gradual unfreezing from the top."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import final

import numpy as np

from striate.core.events import ProgressCallback
from striate.models.network import ImageModel
from striate.records import results
from striate.records.recipes import recipe
from striate.training.loop import Trained
from striate.transfer.candidates.base import TrainedCandidate
from striate.transfer.context import TransferContext
from striate.transfer.finetune import finetune
from striate.transfer.probe import ProbeResult


@final
class Finetuning(TrainedCandidate):
    """The linear head, and then the top stages trained together with it.

    Args:
        context: The data and the pretrained network.
        probe: The probes, which give the network with its linear head.
        unfrozen: Number of stages to train, at least 1.
    """

    def __init__(self, context: TransferContext, probe: ProbeResult, unfrozen: int) -> None:
        frozen, trained = probe.stages[:-unfrozen], probe.stages[-unfrozen:]
        super().__init__(
            context,
            results.Candidate(strategy="finetune", reused_stages=frozen, trained_stages=trained),
            title=f"fine-tuning {', '.join(trained)}",
            layer=probe.layer,
            recipe=recipe("finetune_grey" if context.preprocess.in_channels == 1 else "finetune"),
            layers=probe.layers_of(trained),
            preprocess=context.preprocess,
        )
        self._probe = probe
        self._cut = frozen[-1] if frozen else None

    def train(
        self, positions: np.ndarray, state: Path, progress: ProgressCallback, held_out: np.ndarray | None = None
    ) -> tuple[ImageModel, Trained]:
        """Fit the head on some images, and then train the top stages on them."""
        context = self.context
        model = self._probe.network(positions)
        trained = finetune(
            model,
            context.preprocess,
            context.images(positions, context.preprocess, progress),
            self.recipe,
            task=context.task,
            cut=self._cut,
            seed=context.plan.seed,
            state=state,
            workplace=dataclasses.replace(context.workplace, progress=progress),
            held_out=None if held_out is None else context.images(held_out, context.preprocess, progress),
        )
        return model, trained


def finetuning_steps(context: TransferContext, probe: ProbeResult) -> list[Finetuning]:
    """One more stage in every step."""
    return [Finetuning(context, probe, unfrozen) for unfrozen in range(1, len(probe.stages) + 1)]
