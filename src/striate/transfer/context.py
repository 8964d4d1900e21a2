"""What every candidate shares: the images, their split, the pretrained network, and the means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch

from striate.cache import keys
from striate.cache.decoded import Decoded
from striate.cache.fill import Pass, fill
from striate.cache.store import RowStore
from striate.core.cancel import CancelToken
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex
from striate.inference import engines
from striate.inference.predict import sample
from striate.inference.stage_features import StageFeatures
from striate.models import Entry, ImageModel
from striate.records import io
from striate.records.plans import FitPlan
from striate.records.sizes import LayerRow
from striate.sizing import measure
from striate.tasks.classify.task import Classification
from striate.transfer.finetune import DecodedImages

BATCH = 32
AGREEMENT_SAMPLE = 8
"""Images on which an engine is compared with eager float32."""


@final
@dataclass(kw_only=True)
class TransferContext:
    """A data set, a pretrained network, and where to work.

    Args:
        plan: What was asked.
        index: The images.
        task: What a network is trained for on them.
        targets: One per image.
        digests: sha256 of every image.
        train: Positions of the training images.
        validation: Positions of the validation images.
        entry: The network's row in the registry.
        options: Fields of its spec that the weights need.
        model: The pretrained network, with its published head; never changed.
        preprocess: What its weights were trained with.
        weights_sha256: Of its file.
        device: Where to train.
        work: Folder of everything that is deleted when the run is done.
        cache: Folder of cached features.
        progress: Receives progress, and stops the job at its phases and steps when that was asked.
        cancel: Asks the job to stop; training saves its state first.
    """

    plan: FitPlan
    index: ImageIndex
    task: Classification
    targets: np.ndarray
    digests: tuple[str, ...]
    train: np.ndarray
    validation: np.ndarray
    entry: Entry
    options: dict
    model: ImageModel
    preprocess: Preprocess
    weights_sha256: str
    device: torch.device
    work: Path
    cache: Path
    progress: ProgressCallback
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.task.outputs

    def labels(self, positions: np.ndarray) -> np.ndarray:
        """Labels of images, int64 ``[n]``."""
        return self.targets[positions]

    @cached_property
    def rows_by_stage(self) -> dict[str, list[LayerRow]]:
        """What the layers of every stage, and of the head's parts before pooling, cost for one image."""
        rows = self.rows_at(self.preprocess.size)
        names = (*self.model.stages, *(f"head.{part}" for part in self.model.head.before_pool))
        return {name: [row for row in rows if row.name.startswith(f"{name}.") or row.name == name] for name in names}

    def rows_of(self, model: ImageModel, stages: Sequence[str]) -> list[LayerRow]:
        """What some stages of a truncated network, and its head's parts before pooling, cost for one image."""
        names = (*stages, *(f"head.{part}" for part in model.head.before_pool))
        return [row for name in names for row in self.rows_by_stage[name]]

    def rows_at(self, size: tuple[int, int]) -> tuple[LayerRow, ...]:
        """What every layer costs for one image of some size."""
        return measure(self.model, (self.preprocess.in_channels, *size)).layers

    def unreadable(self, positions: np.ndarray, *, most: int, known_unreadable: Mapping[int, str]) -> dict[int, str]:
        """Images that cannot be decoded, reason by position; what was found is remembered under their digests.

        Args:
            positions: Which to try.
            most: So many unreadable ones are borne.
            known_unreadable: Those found before; they count too.

        Raises:
            DataError: There are more.
        """
        name = keys.of_folder(purpose="readable", preprocess=self.preprocess, fast=self.plan.fast_resize)
        return fill(
            RowStore(self.cache / name, (1,), "uint8"),
            self.index,
            [int(p) for p in positions],
            self.digests,
            self.preprocess,
            lambda pixels: np.ones((len(pixels), 1), np.uint8),
            batch=BATCH,
            progress=self.progress,
            fast=self.plan.fast_resize,
            max_unreadable=most,
            known_unreadable=known_unreadable,
            phase="checking the test images",
        ).unreadable

    def pixels(self, positions: np.ndarray, preprocess: Preprocess, name: str) -> DecodedImages:
        """Images decoded once and memory-mapped; unreadable ones must have been left out before.

        Args:
            positions: Which.
            preprocess: How.
            name: Of the folder in `work`.
        """
        folder = keys.of_folder(preprocess=preprocess, fast=self.plan.fast_resize)
        where = self.work / f"{name}-{folder}"
        decoded = Decoded(self.index, self.digests, preprocess, where, fast=self.plan.fast_resize)
        decoded.decode(positions, self.progress)
        places = decoded.rows(positions)
        ordered = len(places) == 0 or bool((np.diff(places) == 1).all() and places[0] == 0)
        view = decoded.pixels
        pixels = view[: len(places)] if ordered else view[places]
        return DecodedImages(pixels=pixels, labels=self.labels(positions), digests=[self.digests[p] for p in positions])


@final
class CachedFeatures:
    """Pooled features of every stage, from the cached pass.

    Args:
        context: Its images and its network.
    """

    def __init__(self, context: TransferContext) -> None:
        self.context = context
        self._module = StageFeatures(context.model, context.preprocess)
        self.widths = self._module.widths
        self._store: RowStore | None = None
        self.agreement: engines.Agreement | None = None

    def run(
        self,
        positions: np.ndarray,
        *,
        max_unreadable: int | None = None,
        known_unreadable: Mapping[int, str] | None = None,
    ) -> Pass:
        """The one pass: see to it that every image's features are on disk.

        Args:
            positions: Which images.
            max_unreadable: As in `features.extract.fill`.
            known_unreadable: As there.

        Raises:
            DataError: More than `max_unreadable` images cannot be read.
        """
        context = self.context
        wanted = [int(p) for p in positions]
        name = keys.of_folder(
            weights=context.weights_sha256,
            network=keys.of_weights(context.model),
            preprocess=context.preprocess,
            layers=self.widths,
            engine=context.plan.engine,
            device=context.device.type,
            fast=context.plan.fast_resize,
        )
        folder = context.cache / name
        width = sum(self.widths.values())
        self._store = RowStore(folder, (width,), "float16", {"network": context.entry.name})
        # What is compared depends on what is asked alone, so that a pass that goes on records what a whole one does.
        told = folder / f"agreement-{keys.of_folder(images=[context.digests[p] for p in wanted])}.json"

        @cache  # a network takes seconds to compile: only where an image needs it
        def engine() -> engines.Engine:
            made, agreement = self._engine(sample(context.index, wanted, context.preprocess, AGREEMENT_SAMPLE))
            io.write(told, agreement)
            return made

        def run(pixels: np.ndarray) -> np.ndarray:
            return engine().run(pixels)

        done = fill(
            self._store,
            context.index,
            wanted,
            context.digests,
            context.preprocess,
            run,
            batch=BATCH,
            progress=context.progress,
            fast=context.plan.fast_resize,
            max_unreadable=max_unreadable,
            known_unreadable=known_unreadable,
            phase="extracting features",
        )
        if not told.exists():  # every row was there, from runs that were asked for other images
            engine()
        self.agreement = io.from_json(engines.Agreement, io.read(told))
        return done

    def _engine(self, sample: np.ndarray) -> tuple[engines.Engine, engines.Agreement]:
        context = self.context
        return engines.make(
            self._module,
            batch=BATCH,
            image=sample.shape[1:],
            engine=context.plan.engine,
            device=context.device,
            sample=sample,
            groups=list(self.widths.values()),
            progress=context.progress,
        )

    def at(self, layer: str, positions: np.ndarray) -> torch.Tensor:
        """Features at one point, float32 ``[n, width]``."""
        assert self._store is not None, "run the pass first"
        start = 0
        for name, width in self.widths.items():
            if name == layer:
                places = self._store.places([keys.of_image(self.context.digests[p]) for p in positions])
                return torch.from_numpy(self._store.view()[places, start : start + width].astype(np.float32))
            start += width
        raise KeyError(layer)
