"""Any function of images over many images, in order, on the fastest engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from striate.core.errors import DataError, ImageError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.data.index import ImageIndex
from striate.data.loaders import batches
from striate.data.tta import canvas, see
from striate.inference import engines
from striate.records.plans import EngineName
from striate.records.tta import NO_TTA, TTAPolicy

WORTH_COMPILING = 200
"""Images below which the seconds that OpenVINO needs to compile a network are not won back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a function gave.

    Args:
        values: float32 ``[n, ...]``, a row for every image that could be read.
        positions: Which images those were, ``[n]``.
        unreadable: Reason by position of every other.
        agreement: What ran, and how well it agreed with eager float32.
    """

    values: np.ndarray
    positions: np.ndarray
    unreadable: dict[int, str]
    agreement: engines.Agreement


def sample(index: ImageIndex, positions: Sequence[int], preprocess: Preprocess, count: int) -> np.ndarray:
    """The first `count` readable images among `positions`, decoded: ``[n, h, w, channels]``.

    Raises:
        DataError: None of the first 200 can be read.
    """
    found: list[np.ndarray] = []
    for position in positions[:200]:
        try:
            found.append(decode(index.read(int(position)), preprocess))
        except ImageError:
            continue
        if len(found) == count:
            break
    if not found:
        raise DataError(f"none of the first {len(positions[:200])} images of {index.source} can be read")
    return np.stack(found)


def first(outputs: np.ndarray) -> np.ndarray:
    """Those of the first view, which is the image as it is."""
    return outputs[0]


def predict_batches(
    module: nn.Module,
    preprocess: Preprocess,
    index: ImageIndex,
    positions: Sequence[int] | np.ndarray,
    *,
    width: int,
    progress: ProgressCallback,
    phase: str,
    batch: int = 32,
    engine: EngineName = "auto",
    device: torch.device | None = None,
    fast: bool = False,
    tta: TTAPolicy = NO_TTA,
    join: Callable[[np.ndarray], np.ndarray] = first,
) -> Outputs:
    """Run `module` over images.

    Args:
        module: uint8 ``[n, h, w, channels]`` to ``[n, width]``.
        preprocess: How images are decoded.
        index: The images.
        positions: Which of them, in the order of the rows.
        width: Length of one row.
        progress: Hears of progress.
        phase: What the listener is told is going on.
        batch: Images at a time.
        engine: As `engines.make` takes it; few images run on PyTorch unless another is named.
        device: Where; None is the processor.
        fast: Whether images are reduced by the fast filter.
        tta: How often each image is looked at, and how.
        join: From the views' outputs, ``[views, n, width]``, to the rows.
    """
    wanted = [int(p) for p in positions]
    whole, some = canvas(preprocess, tta), sample(index, wanted, preprocess, 4)
    runner, agreement = engines.make(
        module,
        batch=batch,
        image=some.shape[1:],
        engine="torch" if engine == "auto" and len(wanted) < WORTH_COMPILING else engine,
        device=device or torch.device("cpu"),
        sample=some,
        groups=[width],
        progress=progress,
    )
    rows: list[np.ndarray] = []
    kept: list[int] = []
    unreadable: dict[int, str] = {}
    progress.phase(phase, len(wanted), "image")
    done = 0
    with closing(batches(index, wanted, whole, batch=batch, fast=fast)) as stream:
        for each in stream:
            seen = [engines.run_padded(runner, see(each.pixels, view, preprocess.size), batch) for view in tta.views]
            readable = [p not in each.failed for p in each.positions]
            rows.append(join(np.stack(seen))[readable])
            kept += [int(p) for p, ok in zip(each.positions, readable, strict=True) if ok]
            unreadable |= each.failed
            done += len(each.positions)
            progress.step(done)
    values = np.concatenate(rows) if rows else np.empty((0, width), dtype=np.float32)
    return Outputs(values=values, positions=np.array(kept, dtype=np.int64), unreadable=unreadable, agreement=agreement)
