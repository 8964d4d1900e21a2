"""The same network trained from random weights: what pretraining is worth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import final

import numpy as np
import torch

from striate.cache import keys
from striate.core.draws import draws_from
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.core.seed import derive
from striate.models.network import ImageModel
from striate.models.pixels import PixelNetwork
from striate.records import results
from striate.records.recipes import recipe
from striate.training.loop import Trained, train
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.transfer.budget import training_seconds
from striate.transfer.candidates.base import TrainedCandidate
from striate.transfer.context import TransferContext
from striate.transfer.curve import evaluator
from striate.transfer.probe import ProbeResult

MIN_USEFUL_EPOCHS = 12
"""With fewer epochs, training from scratch has hardly begun; the images become smaller until the plan allows these."""
_SCALES = (1.0, 0.75, 0.5, 0.375, 0.25)


@final
class FromScratch(TrainedCandidate):
    """The network with random weights, trained within the same work as fine-tuning."""

    def __init__(self, context: TransferContext) -> None:
        preprocess = affordable_preprocess(context)
        super().__init__(
            context,
            results.Candidate(strategy="scratch", trained_stages=context.model.stages),
            title="training from scratch",
            layer=None,
            recipe=recipe("scratch_grey" if preprocess.in_channels == 1 else "scratch"),
            layers=context.layers_at(preprocess.size),
            preprocess=preprocess,
        )

    def train(
        self, positions: np.ndarray, state: Path, progress: ProgressCallback, held_out: np.ndarray | None = None
    ) -> tuple[ImageModel, Trained]:
        """Train all stages on some images."""
        context, plan, preprocess = self.context, self.context.plan, self.preprocess
        with draws_from(derive(plan.seed, "scratch")):
            model = context.task.network(
                context.entry, in_channels=preprocess.in_channels, options=context.pretrained.options
            )
        model.drop_aux()  # auxiliary heads help in longer trainings than these
        module = PixelNetwork(model, preprocess).to(context.device)
        images = context.images(positions, preprocess, progress)
        source = context.task.source(
            images.pixels, images.targets, self.recipe.augment, seed=plan.seed, names=images.names
        )
        signature = keys.of_folder(
            network=context.pretrained.name,
            options=context.pretrained.options,
            recipe=self.recipe,
            preprocess=preprocess,
            seed=plan.seed,
            images=list(images.digests),
            targets=context.task.fingerprint(images.targets),
        )
        evaluate = None
        if held_out is not None:
            seen = context.images(held_out, preprocess, progress)
            evaluate = evaluator(module, seen.pixels, seen.targets, context.task, context.device)
        trained = train(
            module.to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
            source,
            self.recipe,
            TrainingOptions(seed=plan.seed, sampling=context.task.sampling(self.recipe, images.targets)),
            loss=context.task.loss(self.recipe, images.targets),
            saving=Saving(file=state, signature=signature),
            hooks=Hooks(progress=progress, cancel=context.cancel, evaluate=evaluate, metric=""),
        )
        return model, trained


def affordable_preprocess(context: TransferContext) -> Preprocess:
    """The preprocessing with the largest images at which the plan allows `MIN_USEFUL_EPOCHS` epochs."""
    full, smallest = context.preprocess, context.model.min_side
    preprocess = full
    for scale in _SCALES:
        height, width = (max(smallest, round(side * scale / 8) * 8 if scale < 1 else side) for side in full.size)
        size = (height, width)
        resize = None if full.resize is None else max(*size, round(full.resize * size[0] / full.size[0]))
        preprocess = dataclasses.replace(full, size=size, resize=resize)
        per_epoch = training_seconds(context.layers_at(size)) * context.sets.fitted
        if MIN_USEFUL_EPOCHS * per_epoch <= context.plan.work or min(size) <= smallest:
            break
    return preprocess


def scratch_steps(context: TransferContext, probe: ProbeResult) -> list[FromScratch]:
    """The one step of this strategy, if the plan asks for it."""
    return [FromScratch(context)] if context.plan.scratch else []
