"""What all candidates share: the data, the pretrained network with its features, and where to work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch

from striate.cache import keys
from striate.cache.decoded import Decoded
from striate.core.cancel import CancelToken
from striate.core.errors import DataError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex
from striate.inference.predict import Outputs, predict_batches
from striate.models import REGISTRY, Entry, ImageModel
from striate.models.pixels import PixelNetwork
from striate.records.plans import FitPlan
from striate.records.sizes import LayerRow
from striate.sizing import measure
from striate.tasks.base import Targets, Task
from striate.transfer.evaluation_sets import EvaluationSets, evaluation_sets
from striate.transfer.features import Features
from striate.transfer.finetune import Workplace
from striate.transfer.images import DecodedImages
from striate.weights import Opened


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TransferContext:
    """A data set, a pretrained network, and where to work.

    Args:
        plan: The plan of the run.
        task: What the network is trained for.
        index: The images.
        targets: The target of every image.
        digests: sha256 of every image.
        train: Positions of the training images; all can be read.
        validation: Positions of the validation images; all can be read.
        pretrained: The pretrained network; it is not changed.
        features: Its features of the training and validation images.
        device: Where to train.
        work: Folder of files that are deleted when the run is finished.
        progress: Receives progress.
        cancel: Asks the run to stop; training saves its state first.
    """

    plan: FitPlan
    task: Task
    index: ImageIndex
    targets: Targets
    digests: tuple[str, ...]
    train: np.ndarray
    validation: np.ndarray
    pretrained: Opened
    features: Features
    device: torch.device
    work: Path
    progress: ProgressCallback
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def model(self) -> ImageModel:
        """The pretrained network with its published head."""
        return self.pretrained.model

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing that the pretrained weights need."""
        return self.pretrained.preprocess

    @property
    def entry(self) -> Entry:
        """The registry's entry of the network."""
        return REGISTRY.get(self.pretrained.name)

    @property
    def workplace(self) -> Workplace:
        """Where candidates are trained."""
        return Workplace(
            device=self.device,
            folder=self.work,
            engine=self.plan.engine,
            progress=self.progress,
            cancel=self.cancel,
        )

    @cached_property
    def sets(self) -> EvaluationSets:
        """The images that candidates are fitted on and evaluated on."""
        strata = self.task.strata(self.targets)
        numbers = None if strata is None else strata.numbers
        return evaluation_sets(self.train, self.validation, numbers, seed=self.plan.seed)

    @cached_property
    def _layers_by_part(self) -> dict[str, list[LayerRow]]:
        """What the layers of each stage, and of each part of the head before pooling, cost for one image."""
        rows = self.layers_at(self.preprocess.size)
        names = (*self.model.stages, *(f"head.{part}" for part in self.model.head.before_pool))
        return {name: [row for row in rows if row.name.startswith(f"{name}.") or row.name == name] for name in names}

    def layers_of(self, model: ImageModel, stages: Sequence[str]) -> list[LayerRow]:
        """What some stages of a truncated network, and its head's parts before pooling, cost for one image."""
        names = (*stages, *(f"head.{part}" for part in model.head.before_pool))
        return [row for name in names for row in self._layers_by_part[name]]

    def layers_at(self, size: tuple[int, int]) -> tuple[LayerRow, ...]:
        """What every layer costs for one image of `size`, its height and width in pixels."""
        return measure(self.model, (self.preprocess.in_channels, *size)).layers

    def images(self, positions: np.ndarray, preprocess: Preprocess, progress: ProgressCallback) -> DecodedImages:
        """Readable images, decoded once and memory-mapped, with their targets."""
        fast = self.plan.fast_resize
        folder = self.work / f"pixels-{keys.of_folder(preprocess=preprocess, fast=fast)}"
        decoded = Decoded(self.index, self.digests, preprocess, folder, fast=fast)
        failed = decoded.decode(positions, progress)
        if failed:
            position = min(failed)
            raise DataError(
                f"{self.index.names[position]} could be read at first, and now not: {failed[position]}",
                hint="put it back; the same command then resumes",
            )
        rows, pixels = decoded.rows(positions), decoded.pixels
        in_order = len(rows) == 0 or bool((np.diff(rows) == 1).all() and rows[0] == 0)
        return DecodedImages(
            pixels=pixels[: len(rows)] if in_order else pixels[rows],
            targets=self.targets[positions],
            digests=[self.digests[int(p)] for p in positions],
        )

    def outputs(
        self,
        model: ImageModel,
        preprocess: Preprocess,
        positions: np.ndarray,
        phase: str,
        progress: ProgressCallback | None = None,
    ) -> Outputs:
        """The outputs of a trained network for some images.

        Args:
            model: The network.
            preprocess: The preprocessing that it needs.
            positions: Which images.
            phase: What progress shows as the current work.
            progress: Receives progress; None is the run's own.
        """
        return predict_batches(
            PixelNetwork(model, preprocess).eval(),
            preprocess,
            self.index,
            positions,
            width=self.task.outputs,
            progress=progress or self.progress,
            phase=phase,
            device=self.device,
            fast=self.plan.fast_resize,
        )
