"""Pooled features of every layer of a pretrained network, computed once per image and kept in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from striate.cache import keys
from striate.cache.fill import Pass, fill
from striate.cache.store import RowStore
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex
from striate.inference import engines
from striate.inference.predict import sample
from striate.inference.stage_features import StageFeatures
from striate.models.network import ImageModel
from striate.records import io
from striate.records.plans import EngineName

BATCH = 32
AGREEMENT_SAMPLE = 8
"""Images on which an engine is compared with eager float32."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """The features of some images at every feature layer.

    Args:
        widths: Length of each layer's features, from the image upwards.
        agreement: Which engine ran, and how well it agrees with eager float32.
        filled: How many images were computed, how many were in the cache, and which cannot be read.
        digests: sha256 of every image of the index.
        store: The rows.
    """

    widths: Mapping[str, int]
    agreement: engines.Agreement
    filled: Pass
    digests: Sequence[str]
    store: RowStore

    def at(self, layer: str, positions: np.ndarray) -> Tensor:
        """Features at one layer, float32 ``[n, width]``.

        Args:
            layer: A key of `widths`.
            positions: Readable images whose features were extracted.
        """
        start = sum(width for name, width in self._below(layer))
        rows = self.store.places([keys.of_image(self.digests[int(p)]) for p in positions])
        return torch.from_numpy(self.store.view()[rows, start : start + self.widths[layer]].astype(np.float32))

    def _below(self, layer: str) -> list[tuple[str, int]]:
        names = list(self.widths)
        return [(name, self.widths[name]) for name in names[: names.index(layer)]]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureExtractor:
    """A pretrained network that extracts features.

    Args:
        name: Name of the network.
        model: The network; it is not changed.
        preprocess: The preprocessing that its weights need.
        weights_sha256: sha256 of its weights' file.
        cache: Folder of cached features.
        engine: What runs the network.
        device: Where PyTorch runs it.
        fast: Whether large images are reduced with the fast filter.
        progress: Receives progress.
    """

    name: str
    model: ImageModel
    preprocess: Preprocess
    weights_sha256: str
    cache: Path
    engine: EngineName
    device: torch.device
    fast: bool
    progress: ProgressCallback

    def extract(
        self,
        index: ImageIndex,
        digests: Sequence[str],
        positions: np.ndarray,
        *,
        max_unreadable: int | None = None,
        known_unreadable: Mapping[int, str] | None = None,
    ) -> Features:
        """Extract the features of images, and keep them in the cache.

        Args:
            index: All images.
            digests: sha256 of each.
            positions: Which images.
            max_unreadable: As in `cache.fill.fill`.
            known_unreadable: As in `cache.fill.fill`.

        Raises:
            DataError: More than `max_unreadable` images cannot be read.
        """
        wanted = [int(p) for p in positions]
        module = StageFeatures(self.model, self.preprocess)
        folder = self.cache / self._folder(module.widths)
        store = RowStore(folder, (sum(module.widths.values()),), "float16", {"network": self.name})
        # The sample depends only on the images asked for, so a resumed run records the same agreement.
        agreement_file = folder / f"agreement-{keys.of_folder(images=[digests[p] for p in wanted])}.json"

        @cache  # compiling takes seconds, so it happens only if an image needs it
        def engine() -> engines.Engine:
            made, agreement = self._engine(module, sample(index, wanted, self.preprocess, AGREEMENT_SAMPLE))
            io.write(agreement_file, agreement)
            return made

        filled = fill(
            store,
            index,
            wanted,
            digests,
            self.preprocess,
            lambda pixels: engine().run(pixels),
            batch=BATCH,
            progress=self.progress,
            fast=self.fast,
            max_unreadable=max_unreadable,
            known_unreadable=known_unreadable,
            prepare=engine,
        )
        agreement = _kept(agreement_file)
        if agreement is None:  # every row was in the cache, from runs over other images
            engine()
            agreement = io.from_json(engines.Agreement, io.read(agreement_file))
        return Features(widths=module.widths, agreement=agreement, filled=filled, digests=digests, store=store)

    def _folder(self, widths: Mapping[str, int]) -> str:
        return keys.of_folder(
            weights=self.weights_sha256,
            network=keys.of_weights(self.model),
            preprocess=self.preprocess,
            layers=widths,
            engine=self.engine,
            device=self.device.type,
            fast=self.fast,
        )

    def _engine(self, module: StageFeatures, images: np.ndarray) -> tuple[engines.Engine, engines.Agreement]:
        return engines.make(
            module,
            batch=BATCH,
            image=(*self.preprocess.size, self.preprocess.in_channels),
            engine=self.engine,
            device=self.device,
            sample=images,
            groups=list(module.widths.values()),
            progress=self.progress,
        )


def _kept(file: Path) -> engines.Agreement | None:
    """An agreement that was measured before; None if there is none, or the file is damaged."""
    try:
        return io.from_json(engines.Agreement, io.read(file))
    except (OSError, ValueError, TypeError):
        return None
