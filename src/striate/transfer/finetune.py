"""Training the top stages of a pretrained network, the stages below frozen to the bit.

Where nothing below the cut moves, its maps need not be computed in every epoch: a few varied views of each image run
through the frozen stages once, on the fastest engine, and are kept; training then reads them. Where maps would take too
much room they are computed anew in every epoch, on that engine too. Either way no step of training runs a frozen stage,
and neither its activations nor its gradients are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from striate.cache import keys
from striate.cache.store import RowStore
from striate.core.cancel import CancelToken
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.augment import augment
from striate.inference import engines
from striate.inference.predict import WORTH_COMPILING
from striate.models.network import ImageModel
from striate.models.pixels import PixelNetwork
from striate.nn.input import InputNormalization
from striate.records.plans import EngineName
from striate.records.recipes import Recipe
from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.classify.source import PixelSource
from striate.training.batches import BatchSource
from striate.training.loop import Trained, train
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.transfer.rates import falling

MOST_VIEWS = 3
MOST_CACHE_BYTES = 3 * 1024**3
_BATCH = 32
_BATCHES_A_WRITE = 8


@final
class _FrozenStages(nn.Module):
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
    """The maps at the cut to logits.

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
class Frozen:
    """The stages up to the cut, and what runs them.

    Args:
        model: The network, on the device to train on.
        preprocess: What its weights were trained with.
        cut: The last frozen stage.
        pixels: Decoded images; the first few are those on which engines are compared.
        engine: The engine asked for.
        device: Where it runs.
        progress: Hears when another engine runs.
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
        self._module = _FrozenStages(model, preprocess, cut).to(device)
        self._sample = np.array(pixels[:4])  # a copy: torch takes no read-only arrays
        with torch.inference_mode():
            maps = self._module.eval()(torch.from_numpy(self._sample[:1]).to(device))
        self.shape = tuple(maps.shape[1:])
        below = [*model.stages[: model.stages.index(cut) + 1]]
        self.key = keys.of_folder(weights=keys.of_weights(model, below), preprocess=preprocess, cut=cut, engine=engine)

    def engine(self, batch: int, images: int) -> engines.Engine:
        """What runs so many images, `batch` at a time; few do not win back the time that compiling takes."""
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
    """Maps at the cut, several views of each image.

    Args:
        maps: float16 ``[rows, channels, h, w]``, memory-mapped.
        places: The row of every view of every image, ``[views, n]``.
        labels: int64 ``[n]``.
    """

    def __init__(self, maps: np.ndarray, places: np.ndarray, labels: np.ndarray) -> None:
        self.maps = maps
        self.places = places
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The maps of this epoch's view of `samples`, and their labels."""
        rows = self.maps[self.places[epoch % len(self.places), samples]]
        maps = torch.from_numpy(rows).float().contiguous(memory_format=torch.channels_last)
        return maps, torch.from_numpy(self.labels[samples])


@final
class FrozenStageSource:
    """Images that run through the frozen stages when it is their turn.

    Args:
        images: Varied anew each epoch; inputs are uint8 ``[n, h, w, channels]``.
        engine: Runs the frozen stages on so many images at a time.
        batch: How many those are.
    """

    def __init__(self, images: BatchSource, engine: engines.Engine, batch: int) -> None:
        self.images = images
        self.engine = engine
        self.size = batch

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The maps of `samples` as they look in this epoch, and their labels."""
        pixels, labels = self.images.batch(samples, epoch)
        maps = self.engine.run(pixels.contiguous().numpy())
        return torch.from_numpy(maps).contiguous(memory_format=torch.channels_last), labels


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImages:
    """Decoded training images.

    Args:
        pixels: uint8 ``[n, h, w, channels]``; may be memory-mapped.
        labels: int64 ``[n]``.
        digests: sha256 of every image's file, in hex.
    """

    pixels: np.ndarray
    labels: np.ndarray
    digests: Sequence[str]

    @property
    def names(self) -> np.ndarray:
        """A number for every image that depends on its content alone, ``[n]``: what its variations are keyed by."""
        return np.array([int(digest[:15], 16) for digest in self.digests], dtype=np.int64)


def finetune(
    model: ImageModel,
    preprocess: Preprocess,
    images: DecodedImages,
    recipe: Recipe,
    *,
    cut: str | None,
    seed: int,
    state: Path,
    maps: Path,
    device: torch.device,
    progress: ProgressCallback,
    cancel: CancelToken | None = None,
    engine: EngineName = "auto",
    fixed_statistics: bool = True,
) -> Trained:
    """Train everything above `cut` in place; nothing at or below it moves, batch statistics included.

    Args:
        model: With its new head already trained on frozen features.
        preprocess: What its weights were trained with.
        images: To train on.
        recipe: How; the rate of each stage falls with its distance from the head.
        cut: The last frozen stage; None trains all.
        seed: Of order and variation.
        state: File of training's state.
        maps: Folder of the maps at the cut; those that are there already serve again.
        device: Where to train.
        progress: Receives progress.
        cancel: Asks to stop; the state is saved first. None never asks.
        engine: What runs the frozen stages.
        fixed_statistics: Whether the batch statistics of the trained stages stay as pretraining left them.
    """
    model.to(device)
    trained = model.stages_above(cut)
    signature = keys.of_folder(
        weights=keys.of_weights(model), recipe=recipe, cut=cut, seed=seed, images=list(images.digests)
    )
    source: BatchSource = PixelSource(images.pixels, images.labels, recipe.augment, seed=seed, names=images.names)
    if cut is None:
        model.unfreeze(fixed_statistics=fixed_statistics)
        module: nn.Module = PixelNetwork(model, preprocess).to(device)
    else:
        model.freeze(cut, fixed_statistics=fixed_statistics)
        module = TrainedStages(model, cut)
        frozen = Frozen(model, preprocess, cut, images.pixels, engine, device, progress)
        source = _cached(frozen, images, recipe, seed, maps, progress) or FrozenStageSource(
            source, frozen.engine(recipe.batch, recipe.epochs * len(images.labels)), recipe.batch
        )
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    result = train(
        module,
        source,
        recipe,
        TrainingOptions(seed=seed, lr_scales=falling(trained, "model." if cut is None else "top.model.")),
        saving=Saving(file=state, signature=signature),
        hooks=Hooks(progress=progress, cancel=cancel or CancelToken()),
        loss=CrossEntropy(label_smoothing=recipe.label_smoothing),
    )
    model.unfreeze().eval()
    return result


def _cached(
    frozen: Frozen, images: DecodedImages, recipe: Recipe, seed: int, folder: Path, progress: ProgressCallback
) -> MapSource | None:
    """Maps at the cut for a few views of every image; None where they would take too much room."""
    count = len(images.labels)
    views = min(MOST_VIEWS, recipe.epochs)
    if views * count * int(np.prod(frozen.shape)) * 2 > MOST_CACHE_BYTES:
        return None
    name = keys.of_folder(frozen=frozen.key, views=recipe.augment, seed=seed)
    store = RowStore(folder / f"maps-{name}", frozen.shape, "float16", {"cut": frozen.cut})
    wanted = [[keys.of_image(d, f"view {v}") for d in images.digests] for v in range(views)]
    with store.writing():
        missing = [(v, i) for v in range(views) for i in range(count) if wanted[v][i] not in store]
        if missing:
            # chosen for all views and not for the missing ones, so that what goes on runs on what it began with
            engine = frozen.engine(_BATCH, views * count)
            _fill(store, engine, images, recipe, seed, wanted, missing, progress)
    places = np.stack([store.places(row) for row in wanted])
    return MapSource(store.view(), places, images.labels)


def _fill(
    store: RowStore,
    engine: engines.Engine,
    images: DecodedImages,
    recipe: Recipe,
    seed: int,
    wanted: list[list[bytes]],
    missing: list[tuple[int, int]],
    progress: ProgressCallback,
) -> None:
    """Run the missing views through the frozen stages; equal images share a row, the first one's."""
    copies = "1 augmented copy" if len(wanted) == 1 else f"{len(wanted)} augmented copies"
    progress.phase(f"extracting features of {copies} per image", len(missing), "sample")
    done, added, names = 0, set[bytes](), images.names
    fresh: list[bytes] = []
    rows: list[np.ndarray] = []
    while done < len(missing):
        view = missing[done][0]
        ids = [i for v, i in missing[done : done + _BATCH] if v == view]
        samples = np.array(ids, dtype=np.int64)
        pixels = torch.from_numpy(np.ascontiguousarray(images.pixels[samples]))
        varied = augment(pixels, recipe.augment, seed=seed, epoch=view, samples=names[samples]).contiguous().numpy()
        maps = engine.run(varied)
        new = [k for k, i in enumerate(ids) if wanted[view][i] not in added]
        fresh += [wanted[view][ids[k]] for k in new]
        rows.append(maps[new].astype(store.dtype))
        added.update(wanted[view][i] for i in ids)
        done += len(ids)
        if len(rows) == _BATCHES_A_WRITE or done == len(missing):  # each writing waits for the disk
            store.append(fresh, np.concatenate(rows), [True] * len(fresh))
            fresh, rows = [], []
        progress.step(done)
