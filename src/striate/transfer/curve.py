"""The validation curve of a candidate: its metric and loss on held-out images after every epoch.

The curve is only shown. It chooses no epoch and no candidate, so a sample of the held-out images serves it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from striate.tasks.base import Targets, Task

MAX_IMAGES = 300
MAX_BYTES = 256 << 20
"""Of the inputs of all sampled images together."""
_BATCH = 64


def sampled(positions: np.ndarray, image_bytes: int) -> np.ndarray:
    """Evenly spaced positions, so that all classes are among them; as many as `MAX_IMAGES` and `MAX_BYTES` allow.

    Args:
        positions: The held-out images.
        image_bytes: Size of one image as an input.
    """
    most = min(len(positions), MAX_IMAGES, MAX_BYTES // max(image_bytes, 1))
    return positions[np.unique(np.linspace(0, len(positions) - 1, most).astype(int))] if most else positions[:0]


def evaluator(
    module: nn.Module, inputs: np.ndarray, targets: Targets, task: Task, device: torch.device
) -> Callable[[], dict[str, float]]:
    """What training calls after every epoch, in evaluation mode.

    Args:
        module: The network that is trained: inputs to outputs.
        inputs: uint8 images ``[n, h, w, channels]``, or floating-point maps ``[n, channels, h, w]``.
        targets: One per image.
        task: What it is trained for.
        device: Where it is trained.

    Returns:
        A function that gives the task's metric and ``validation_loss``.
    """

    def evaluate() -> dict[str, float]:
        rows: list[np.ndarray] = []
        for start in range(0, len(inputs), _BATCH):
            batch = torch.from_numpy(np.array(inputs[start : start + _BATCH])).to(device)
            if batch.is_floating_point():
                batch = batch.float().contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                rows.append(module(batch).float().cpu().numpy())
        score = task.score(np.concatenate(rows), targets)
        return {task.metric: task.value(score), "validation_loss": float(score.loss)}

    return evaluate
