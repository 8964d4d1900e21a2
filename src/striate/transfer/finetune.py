"""Training the top stages of a pretrained network, the stages below frozen to the bit.

Where nothing below the cut moves, its maps need not be computed in every epoch: a few varied views of each picture run
through the frozen stages once, on the fastest engine, and are kept; training then reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.events import Listener
from striate.core.preprocess import Preprocess
from striate.data.augment import augment
from striate.features import engines, keys
from striate.features.run import WORTH_COMPILING
from striate.features.store import RowStore
from striate.models.base import ImageModel
from striate.nn.input import PictureInput
from striate.records.recipes import Recipe
from striate.tasks.classify.feed import PixelFeed
from striate.tasks.classify.network import Classifier
from striate.train.loop import Trained, train
from striate.transfer.rates import falling

MOST_VIEWS = 3
MOST_CACHE_BYTES = 3 * 1024**3
_BATCH = 32
_BATCHES_A_WRITE = 8


@final
class _FrozenStages(nn.Module):
    """uint8 pictures to the maps at the cut."""

    def __init__(self, model: ImageModel, preprocess: Preprocess, cut: str) -> None:
        super().__init__()
        self.input = PictureInput(preprocess)
        self.bottom = model.cut(cut)[0]

    def forward(self, pixels: Tensor) -> Tensor:
        return self.bottom(self.input(pixels))


@final
class MapFeed:
    """Maps at the cut, several views of each picture.

    Args:
        maps: float16 ``[rows, channels, h, w]``, memory-mapped.
        places: The row of every view of every picture, ``[views, n]``.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Decoded training pictures.

    Args:
        pixels: uint8 ``[n, h, w, channels]``; may be memory-mapped.
        labels: int64 ``[n]``.
        digests: sha256 of every picture's file, in hex.
    """

    pixels: np.ndarray
    labels: np.ndarray
    digests: Sequence[str]

    @property
    def names(self) -> np.ndarray:
        """A number for every picture that depends on its content alone, ``[n]``: what its variations are keyed by."""
        return np.array([int(digest[:15], 16) for digest in self.digests], dtype=np.int64)


def finetune(
    model: ImageModel,
    preprocess: Preprocess,
    pictures: Pictures,
    recipe: Recipe,
    *,
    cut: str | None,
    seed: int,
    state: Path,
    maps: Path,
    device: torch.device,
    listener: Listener,
    fixed_statistics: bool = True,
) -> Trained:
    """Train everything above `cut` in place; nothing at or below it moves, batch statistics included.

    Args:
        model: With its new head already trained on frozen features.
        preprocess: What its weights were trained with.
        pictures: To train on.
        recipe: How; the rate of each stage falls with its distance from the head.
        cut: The last frozen stage; None trains all.
        seed: Of order and variation.
        state: File of training's state.
        maps: Folder of the maps at the cut; those that are there already serve again.
        device: Where to train.
        listener: Hears of progress.
        fixed_statistics: Whether the batch statistics of the trained stages stay as pretraining left them.
    """
    model.to(device).freeze(cut, fixed_statistics=fixed_statistics)
    trained = model.stages_above(cut)
    signature = keys.of_folder(
        weights=keys.of_weights(model), recipe=recipe, cut=cut, seed=seed, pictures=list(pictures.digests)
    )
    feed = None
    if cut is not None:
        feed = _cached(model, preprocess, pictures, recipe, cut, seed, maps, device, listener)
    if feed is not None and cut is not None:
        module: nn.Module = model.cut(cut)[1]
    else:
        module = Classifier(model, preprocess).to(device)
        feed = PixelFeed(pictures.pixels, pictures.labels, recipe.augment, seed=seed, names=pictures.names)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    result = train(
        module,
        feed,
        recipe,
        seed=seed,
        listener=listener,
        scales=falling(trained, "model."),
        save_to=state,
        signature=signature,
    )
    model.freeze(None).eval()
    return result


def _cached(
    model: ImageModel,
    preprocess: Preprocess,
    pictures: Pictures,
    recipe: Recipe,
    cut: str,
    seed: int,
    folder: Path,
    device: torch.device,
    listener: Listener,
) -> MapFeed | None:
    """Maps at the cut for a few views of every picture; None where they would take too much room."""
    count = len(pictures.labels)
    frozen = _FrozenStages(model, preprocess, cut)
    sample = np.array(pictures.pixels[:4])  # a copy: torch takes no read-only arrays
    with torch.inference_mode():
        shape = tuple(model.forward_stages(frozen.input(torch.from_numpy(sample[:1]).to(device)), [cut])[cut].shape[1:])
    views = min(MOST_VIEWS, recipe.epochs)
    if views * count * int(np.prod(shape)) * 2 > MOST_CACHE_BYTES:
        return None
    below = [*model.stages[: model.stages.index(cut) + 1]]
    name = keys.of_folder(
        weights=keys.of_weights(model, below), preprocess=preprocess, cut=cut, views=recipe.augment, seed=seed
    )
    store = RowStore(folder / f"maps-{name}", shape, "float16", {"cut": cut})
    wanted = [[keys.of_picture(d, f"view {v}") for d in pictures.digests] for v in range(views)]
    with store.writing():
        missing = [(v, i) for v in range(views) for i in range(count) if wanted[v][i] not in store]
        if missing:
            engine, _ = engines.make(
                frozen,
                batch=_BATCH,
                picture=sample.shape[1:],
                # of all views and not of the missing ones, so that what goes on runs on what it began with
                engine="auto" if views * count >= WORTH_COMPILING else "torch",
                device=device,
                sample=sample,
                groups=[int(np.prod(shape))],
                listener=listener,
            )
            _fill(store, engine, pictures, recipe, seed, wanted, missing, listener)
    places = np.stack([store.places(row) for row in wanted])
    return MapFeed(store.view(), places, pictures.labels)


def _fill(
    store: RowStore,
    engine: engines.Engine,
    pictures: Pictures,
    recipe: Recipe,
    seed: int,
    wanted: list[list[bytes]],
    missing: list[tuple[int, int]],
    listener: Listener,
) -> None:
    """Run the missing views through the frozen stages; equal pictures share a row, the first one's."""
    listener.phase("views through the frozen stages", len(missing), "view")
    done, added, names = 0, set[bytes](), pictures.names
    fresh: list[bytes] = []
    rows: list[np.ndarray] = []
    while done < len(missing):
        view = missing[done][0]
        ids = [i for v, i in missing[done : done + _BATCH] if v == view]
        samples = np.array(ids, dtype=np.int64)
        pixels = torch.from_numpy(np.ascontiguousarray(pictures.pixels[samples]))
        varied = augment(pixels, recipe.augment, seed=seed, epoch=view, samples=names[samples]).contiguous().numpy()
        maps = engines.run_padded(engine, varied, _BATCH)
        new = [k for k, i in enumerate(ids) if wanted[view][i] not in added]
        fresh += [wanted[view][ids[k]] for k in new]
        rows.append(maps[new].astype(store.dtype))
        added.update(wanted[view][i] for i in ids)
        done += len(ids)
        if len(rows) == _BATCHES_A_WRITE or done == len(missing):  # each writing waits for the disk
            store.append(fresh, np.concatenate(rows), [True] * len(fresh))
            fresh, rows = [], []
        listener.step(done)
