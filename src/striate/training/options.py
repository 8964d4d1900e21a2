"""What a training is given beside its network, images and recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from striate.core.cancel import CancelToken
from striate.core.events import NoProgress, ProgressCallback


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingOptions:
    """How a training computes.

    Args:
        seed: Random seed of the sample order and of dropout.
        lr_scales: Factor of the learning rate for parameters whose name begins with a key; None scales none.
        sampling: How often each image is drawn relative to others, ``[samples]``; None draws each once per epoch.
        precision: ``float32``, or ``bf16`` for the arithmetic alone. A resumed run keeps the precision of its state.
        max_micro_batch: Images per forward pass that fit into memory. A larger micro-batch is halved until it fits;
            more of them make up the batch, and batch-norm statistics are those of the smaller micro-batch. A resumed
            run keeps the micro-batch of its state. None means that any size fits.
        compiled: Whether the network runs through ``torch.compile``.
        workers: Processes that prepare images ahead.
    """

    seed: int
    lr_scales: Mapping[str, float] | None = None
    sampling: np.ndarray | None = None
    precision: str = "float32"
    max_micro_batch: int | None = None
    compiled: bool = False
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Where and how often the state of a training is saved.

    Args:
        file: The state's file; training resumes from it when it exists and has this `signature`. None saves nothing.
        signature: Names everything that training depends on. A file with another signature is deleted.
        every_s: Seconds between two saves.
    """

    file: Path | None = None
    signature: str = ""
    every_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a training calls while it runs.

    Args:
        progress: Receives steps and epochs.
        cancel: Asks the training to stop; it saves its state first.
        evaluate: Called in evaluation mode after every epoch; its figures join the curve.
        metric: The figure among them that says which epoch is best and drives a schedule of kind ``plateau``.
        snapshot: Called in evaluation mode after every cycle of the schedule, with the cycle's number, from 1.
    """

    progress: ProgressCallback = field(default_factory=NoProgress)
    cancel: CancelToken = field(default_factory=CancelToken)
    evaluate: Callable[[], dict[str, float]] | None = None
    metric: str = "top1"
    snapshot: Callable[[int], None] | None = None
