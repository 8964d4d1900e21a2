"""Batched prediction: a network over many images, in order, on the fastest engine that suits their number.

This is the one path of every verb that runs a trained network: `predict`, `eval`, and the test step of `fit` and
`train`. The images are a data set's index, or any sequence of paths, bytes, arrays and PIL images (`ImageList`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import nn

from striate.core.errors import ImageError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.decode import RawImage, decode
from striate.data.loaders import ImageSource, batches
from striate.data.transforms import ImageLike, read_image
from striate.data.tta import canvas, see
from striate.inference import engines
from striate.inference.engines import EngineChoice
from striate.records.tta import NO_TTA, TTAPolicy

WORTH_COMPILING = 200
"""Fewer images than this do not win back the seconds that OpenVINO needs to compile a network."""
_SAMPLE = 4
"""Images on which an engine is compared with eager PyTorch."""
_SAMPLED_FROM = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outputs:
    """The outputs of a network.

    Args:
        values: ``[n, ...]``, one row for each image that could be read.
        positions: Which images these are, int64 ``[n]``.
        unreadable: The reason for every other image, by position.
        agreement: Which engine ran, and how well it agrees with eager float32.
    """

    values: np.ndarray
    positions: np.ndarray
    unreadable: dict[int, str]
    agreement: engines.Agreement


@final
class ImageList:
    """Images in any form, read one by one when their batch comes.

    Args:
        images: Each a path, encoded bytes, a uint8 array ``[h, w]`` or ``[h, w, 3]``, or a PIL image.
    """

    def __init__(self, images: Sequence[ImageLike] | np.ndarray) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, i: int) -> RawImage:
        """Image `i`, as `data.decode.decode` takes it.

        Raises:
            ImageError: The image cannot be read.
        """
        return read_image(self._images[i])


def first_view(outputs: np.ndarray) -> np.ndarray:
    """The outputs for the first copy, which is the unchanged image."""
    return outputs[0]


def sample(images: ImageSource, positions: Sequence[int], preprocess: Preprocess, count: int) -> np.ndarray:
    """The first readable images, decoded.

    Args:
        images: All images.
        positions: Which of them to try, in order; at most the first 200 are tried.
        preprocess: How to decode them.
        count: At most this many.

    Returns:
        uint8 ``[n, h, w, channels]``; n is 0 if none of the 200 can be read.
    """
    found: list[np.ndarray] = []
    for position in positions[:_SAMPLED_FROM]:
        try:
            found.append(decode(images.read(int(position)), preprocess))
        except ImageError:
            continue
        if len(found) == count:
            break
    shape = (*preprocess.size, preprocess.in_channels)
    return np.stack(found) if found else np.empty((0, *shape), dtype=np.uint8)


def predict_batches(
    module: nn.Module,
    preprocess: Preprocess,
    images: ImageSource,
    positions: Sequence[int] | np.ndarray,
    *,
    width: int,
    progress: ProgressCallback,
    phase: str,
    batch: int = 32,
    engine: EngineChoice = "auto",
    device: torch.device | None = None,
    fast: bool = False,
    tta: TTAPolicy = NO_TTA,
    join: Callable[[np.ndarray], np.ndarray] = first_view,
) -> Outputs:
    """Run `module` over images.

    Args:
        module: uint8 ``[n, h, w, channels]`` to ``[n, width]``.
        preprocess: How the images are decoded.
        images: All images.
        positions: Which of them, in the order of the rows of the result.
        width: Length of the module's output for one image.
        progress: Receives the phase and its steps.
        phase: What `progress` shows as the current work.
        batch: Images per batch.
        engine: As `engines.make` takes it; ``auto`` runs fewer than `WORTH_COMPILING` images on PyTorch.
        device: Where PyTorch runs; None is the processor.
        fast: Whether large images are reduced with the fast filter.
        tta: The test-time augmentation.
        join: From the outputs of the copies, ``[copies, n, width]``, to the rows of the result, ``[n, ...]``.

    Raises:
        EngineError: The engine that was asked for cannot run here.
        PlanError: The network does not support this test-time augmentation.
    """
    wanted = [int(p) for p in positions]
    choice = "torch" if engine == "auto" and len(wanted) < WORTH_COMPILING else engine
    runner, agreement = engines.make(
        module,
        batch=batch,
        image=(*preprocess.size, preprocess.in_channels),
        engine=choice,
        device=device or torch.device("cpu"),
        sample=sample(images, wanted if choice != "eager" else [], preprocess, _SAMPLE),
        groups=[width],
        progress=progress,
    )
    rows: list[np.ndarray] = []
    kept: list[int] = []
    unreadable: dict[int, str] = {}
    progress.phase(phase, len(wanted), "image")
    done = 0
    with closing(batches(images, wanted, canvas(preprocess, tta), batch=batch, fast=fast)) as stream:
        for each in stream:
            views = [runner.run(see(each.pixels, view, preprocess.size)) for view in tta.views]
            readable = [p not in each.failed for p in each.positions]
            rows.append(join(np.stack(views))[readable])
            kept += [int(p) for p, ok in zip(each.positions, readable, strict=True) if ok]
            unreadable |= each.failed
            done += len(each.positions)
            progress.step(done)
    values = np.concatenate(rows) if rows else np.empty((0, width), dtype=np.float32)
    return Outputs(values=values, positions=np.array(kept, dtype=np.int64), unreadable=unreadable, agreement=agreement)
