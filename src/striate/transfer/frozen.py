"""The frozen stages of a network during fine-tuning: their outputs are computed once, or once per epoch.

Nothing below the cut changes, so the maps at the cut need not be computed in every epoch. A few augmented copies of
each image run through the frozen stages once, on the fastest engine, and training reads the stored maps. If the maps
take too much room, the frozen stages run in every epoch, on that engine too. Either way, training keeps neither their
activations nor their gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from striate.cache import keys
from striate.cache.store import RowStore
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.inference import engines
from striate.inference.predict import WORTH_COMPILING
from striate.models.network import ImageModel
from striate.nn.input import InputNormalization
from striate.records.plans import EngineName
from striate.records.recipes import Recipe
from striate.tasks.base import TaskSource
from striate.training.batches import BatchSource
from striate.transfer.images import DecodedImages

MAX_COPIES = 3
"""Augmented copies of each image whose maps are stored; epochs take turns."""
MAX_STORED_BYTES = 3 * 1024**3
_BATCH = 32
_BATCHES_PER_WRITE = 8


@final
class _Bottom(nn.Module):
    """uint8 images to the maps at the cut."""

    def __init__(self, model: ImageModel, preprocess: Preprocess, cut: str) -> None:
        super().__init__()
        self.input = InputNormalization(preprocess)
        self.cut = cut
        self.bottom = model.cut(cut)[0]

    def forward(self, pixels: Tensor) -> Tensor:
        return self.bottom(self.input(pixels))[self.cut]


@final
class TrainedStages(nn.Module):
    """The maps at the cut to the network's output.

    Args:
        model: The network.
        cut: The last frozen stage.
    """

    def __init__(self, model: ImageModel, cut: str) -> None:
        super().__init__()
        self.cut = cut
        self.top = model.cut(cut)[1]

    def forward(self, maps: Tensor) -> Tensor:
        """Run the stages above the cut, then the head."""
        return self.top({self.cut: maps})


@final
class FrozenStages:
    """The stages up to the cut, and what runs them.

    Args:
        model: The network, on the device to train on.
        preprocess: The preprocessing that its weights need.
        cut: The last frozen stage.
        pixels: Decoded images; engines are compared on the first few.
        engine: The engine that was asked for.
        device: Where PyTorch runs.
        progress: Receives a note if another engine runs.
    """

    def __init__(
        self,
        model: ImageModel,
        preprocess: Preprocess,
        cut: str,
        pixels: np.ndarray,
        engine: EngineName,
        device: torch.device,
        progress: ProgressCallback,
    ) -> None:
        self.cut, self._device, self._progress = cut, device, progress
        self._engine: EngineName = engine
        self._module = _Bottom(model, preprocess, cut).to(device)
        self._sample = np.array(pixels[:4])  # a copy: torch takes no read-only arrays
        with torch.inference_mode():
            maps = self._module.eval()(torch.from_numpy(self._sample[:1]).to(device))
        self.shape = tuple(maps.shape[1:])
        below = model.stages[: model.stages.index(cut) + 1]
        self.key = keys.of_folder(weights=keys.of_weights(model, below), preprocess=preprocess, cut=cut, engine=engine)

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """The maps at the cut of a few images as they are, float16 ``[n, channels, h, w]``."""
        engine, parts = self.engine(_BATCH, len(pixels)), range(0, len(pixels), _BATCH)
        found = [engine.run(np.array(pixels[start : start + _BATCH])).astype(np.float16) for start in parts]
        return np.concatenate(found).reshape(-1, *self.shape)

    def engine(self, batch: int, images: int) -> engines.Engine:
        """What runs the stages.

        Args:
            batch: Images per batch.
            images: Images in all; a few do not win back the time that compiling takes.
        """
        few = self._engine == "auto" and images < WORTH_COMPILING
        found, _ = engines.make(
            self._module,
            batch=batch,
            image=self._sample.shape[1:],
            engine="torch" if few else self._engine,
            device=self._device,
            sample=self._sample,
            groups=[int(np.prod(self.shape))],
            progress=self._progress,
        )
        return found


@final
class MapSource:
    """Stored maps at the cut, several augmented copies per image.

    Args:
        maps: float16 ``[rows, channels, h, w]``, memory-mapped.
        rows: The row of every copy of every image, int64 ``[copies, n]``.
        images: The images whose maps they are; gives the targets.
    """

    def __init__(self, maps: np.ndarray, rows: np.ndarray, images: TaskSource) -> None:
        self._maps, self._rows, self._images = maps, rows, images

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The maps of this epoch's copies of `samples`, and their targets."""
        maps = torch.from_numpy(self._maps[self._rows[epoch % len(self._rows), samples]])
        return maps.float().contiguous(memory_format=torch.channels_last), self._images.targets(samples)


@final
class FrozenStageSource:
    """Images that run through the frozen stages when their batch comes.

    Args:
        images: Augmented images; inputs are uint8 ``[n, h, w, channels]``.
        engine: Runs the frozen stages.
    """

    def __init__(self, images: BatchSource, engine: engines.Engine) -> None:
        self._images, self._engine = images, engine

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The maps of `samples` as augmented in this epoch, and their targets."""
        pixels, targets = self._images.batch(samples, epoch)
        maps = self._engine.run(pixels.contiguous().numpy())
        return torch.from_numpy(maps).contiguous(memory_format=torch.channels_last), targets


def map_source(
    stages: FrozenStages,
    images: DecodedImages,
    source: TaskSource,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    progress: ProgressCallback,
) -> BatchSource:
    """Training images as maps at the cut, stored if they fit.

    Args:
        stages: The frozen stages.
        images: The training images.
        source: The same images, augmented.
        recipe: Its epochs and its augmentation.
        seed: Random seed of the augmentation.
        folder: Where maps are stored; maps that are there already are used again.
        progress: Receives progress.
    """
    copies = min(MAX_COPIES, recipe.epochs)
    if copies * len(images) * int(np.prod(stages.shape)) * 2 > MAX_STORED_BYTES:
        return FrozenStageSource(source, stages.engine(recipe.batch, recipe.epochs * len(images)))
    name = keys.of_folder(frozen=stages.key, views=recipe.augment, seed=seed)
    store = RowStore(folder / f"maps-{name}", stages.shape, "float16", {"cut": stages.cut})
    wanted = [[keys.of_image(d, f"view {copy}") for d in images.digests] for copy in range(copies)]
    with store.writing():
        store.forget_damaged(key for row in wanted for key in row)
        missing = [(copy, i) for copy in range(copies) for i in range(len(images)) if wanted[copy][i] not in store]
        if missing:
            # chosen for all copies and not for the missing ones, so that a resumed run uses the engine it began with
            engine = stages.engine(_BATCH, copies * len(images))
            each = "1 augmented copy" if copies == 1 else f"{copies} augmented copies"
            progress.phase(f"extracting features of {each} per image", len(missing), "sample")
            _fill(store, engine, source, wanted, missing, progress)
    return MapSource(store.view(), np.stack([store.places(row) for row in wanted]), source)


def _fill(
    store: RowStore,
    engine: engines.Engine,
    source: BatchSource,
    wanted: Sequence[Sequence[bytes]],
    missing: Sequence[tuple[int, int]],
    progress: ProgressCallback,
) -> None:
    """Run the missing copies through the frozen stages; equal images share the first one's row."""
    done, added = 0, set[bytes]()
    fresh: list[bytes] = []
    rows: list[np.ndarray] = []
    while done < len(missing):
        copy = missing[done][0]
        ids = [i for c, i in missing[done : done + _BATCH] if c == copy]
        pixels, _ = source.batch(np.array(ids, dtype=np.int64), copy)
        maps = engine.run(pixels.contiguous().numpy())
        new = [k for k, i in enumerate(ids) if wanted[copy][i] not in added]
        fresh += [wanted[copy][ids[k]] for k in new]
        rows.append(maps[new].astype(store.dtype))
        added.update(wanted[copy][i] for i in ids)
        done += len(ids)
        if len(rows) == _BATCHES_PER_WRITE or done == len(missing):  # each write waits for the disk
            store.append(fresh, np.concatenate(rows), [True] * len(fresh))
            fresh, rows = [], []
        progress.step(done)
