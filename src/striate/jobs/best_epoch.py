"""Evaluates the validation images after every epoch, and keeps the weights of the best one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from striate.cache.decoded import Decoded
from striate.models.pixels import PixelNetwork
from striate.records.recipes import Augment
from striate.tasks.base import Targets, Task
from striate.training import checkpoint
from striate.training.ranks import Ranks

BATCH = 100
"""Images at a time in evaluation."""


@final
class BestEpoch:
    """Called after every epoch; scores the validation images and keeps the best weights so far.

    Args:
        network: As it is being trained.
        task: Scores its outputs.
        images: Decoded.
        positions: The validation images.
        targets: Theirs.
        ranks: Each process evaluates a part.
        file: Where the best weights go.
    """

    def __init__(
        self,
        network: PixelNetwork,
        task: Task,
        images: Decoded,
        positions: np.ndarray,
        targets: Targets,
        ranks: Ranks,
        file: Path,
    ) -> None:
        self._network, self._task, self._targets, self._ranks, self.file = network, task, targets, ranks, file
        self._source = task.source(images.pixels, targets, Augment(), seed=0, rows=images.rows(positions))
        self._mine = ranks.share(range(len(positions)))

    def __call__(self) -> dict[str, float]:
        """The task's metric on the validation images."""
        with torch.inference_mode():
            mine = [each.float().numpy() for each in self._outputs()]
        outputs = [each for part in self._ranks.gather(mine) for each in part]
        found = self._task.value(self._task.score(np.concatenate(outputs), self._targets))
        if self._ranks.first and found > self._so_far():
            checkpoint.write(self.file, self._network.model.state_dict(), {self._task.metric: found})
        self._ranks.wait()
        return {self._task.metric: found}

    def _outputs(self) -> Iterator[Tensor]:
        for first in range(0, len(self._mine), BATCH):
            inputs, _ = self._source.batch(np.array(self._mine[first : first + BATCH]), 0)
            yield self._network(inputs.to(self._ranks.device)).cpu()

    def _so_far(self) -> float:
        return checkpoint.read(self.file)[1][self._task.metric] if self.file.exists() else -np.inf
