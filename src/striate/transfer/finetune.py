"""Fine-tuning: the top stages of a pretrained network are trained, and the stages below stay frozen to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import torch
from torch import nn

from striate.cache import keys
from striate.core.cancel import CancelToken
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.models.network import ImageModel
from striate.models.pixels import PixelNetwork
from striate.records.plans import EngineName
from striate.records.recipes import Recipe
from striate.tasks.base import Task
from striate.training.loop import Trained, train
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.transfer.curve import evaluator
from striate.transfer.frozen import FrozenStages, TrainedStages, map_source
from striate.transfer.images import DecodedImages
from striate.transfer.layerwise_lr import layerwise_lr


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where and how a candidate is trained.

    Args:
        device: Where to train.
        folder: Of decoded images, maps and training states; deleted when the run is finished.
        engine: What runs frozen stages.
        progress: Receives progress.
        cancel: Asks training to stop; it saves its state first.
    """

    device: torch.device
    folder: Path
    engine: EngineName
    progress: ProgressCallback
    cancel: CancelToken = field(default_factory=CancelToken)


def finetune(
    model: ImageModel,
    preprocess: Preprocess,
    images: DecodedImages,
    recipe: Recipe,
    *,
    task: Task,
    cut: str | None,
    seed: int,
    state: Path,
    workplace: Workplace,
    fixed_statistics: bool = True,
    held_out: DecodedImages | None = None,
) -> Trained:
    """Train everything above `cut` in place. Nothing at or below it changes, batch-norm statistics included.

    Args:
        model: The network; its new head is already trained on frozen features.
        preprocess: The preprocessing that its weights need.
        images: The training images.
        recipe: How to train; each stage's learning rate falls with its distance from the head.
        task: What the network is trained for.
        cut: The last frozen stage; None trains all stages.
        seed: Random seed of the order and of the augmentation.
        state: File of the training state; training resumes from it.
        workplace: Where to train; maps at the cut are stored there, and maps that are there already are used again.
        fixed_statistics: Whether the batch-norm statistics of the trained stages keep their pretrained values.
        held_out: Images on which the network is evaluated after every epoch, for the curve; None for no such images.
    """
    device, progress = workplace.device, workplace.progress
    model.to(device)
    scales = layerwise_lr(model.stages_above(cut), "model." if cut is None else "top.model.", model.head.before_pool)
    signature = keys.of_folder(
        weights=keys.of_weights(model),
        settings=[preprocess, recipe, cut, seed],
        images=list(images.digests),
        targets=task.fingerprint(images.targets),
    )
    augmented = task.source(images.pixels, images.targets, recipe.augment, seed=seed, names=images.names)
    if cut is None:
        model.unfreeze(fixed_statistics=fixed_statistics)
        module: nn.Module = PixelNetwork(model, preprocess).to(device)
        source, stages = augmented, None
    else:
        model.freeze(cut, fixed_statistics=fixed_statistics)
        module = TrainedStages(model, cut)
        stages = FrozenStages(model, preprocess, cut, images.pixels, workplace.engine, device, progress)
        source = map_source(stages, images, augmented, recipe, seed=seed, folder=workplace.folder, progress=progress)
    evaluate = _evaluator(module, stages, held_out, task, device)
    result = train(
        module.to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
        source,
        recipe,
        TrainingOptions(seed=seed, lr_scales=scales, sampling=task.sampling(recipe, images.targets)),
        loss=task.loss(recipe, images.targets),
        saving=Saving(file=state, signature=signature),
        hooks=Hooks(progress=progress, cancel=workplace.cancel, evaluate=evaluate, metric=""),
    )
    model.unfreeze().eval()
    return result


def _evaluator(
    module: nn.Module, stages: FrozenStages | None, held_out: DecodedImages | None, task: Task, device: torch.device
) -> Callable[[], dict[str, float]] | None:
    """What evaluates the trained stages after every epoch; None without held-out images."""
    if held_out is None:
        return None
    inputs = held_out.pixels if stages is None else stages.maps(held_out.pixels)
    return evaluator(module, inputs, held_out.targets, task, device)
