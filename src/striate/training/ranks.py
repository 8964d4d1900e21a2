"""The processes that train together: one on a laptop, one a GPU on a cluster. The only user of Accelerate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from striate.core.events import NoProgress, ProgressCallback
from striate.core.processes import launched
from striate.training.trackers import begin, require

T = TypeVar("T")


@final
class Ranks:
    """This process among those that train together.

    Args:
        device: Where this process computes.
        trackers: Names of Accelerate's experiment trackers that log every epoch.
        folder: Where trackers that write files put them; it is made when they begin.

    Raises:
        MissingExtraError: A tracker's package is not installed.
    """

    def __init__(self, device: torch.device, *, trackers: Sequence[str] = (), folder: Path | None = None) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs

        require(trackers)
        self._trackers, self._folder = tuple(trackers), folder
        self._accelerator = Accelerator(
            cpu=device.type == "cpu",
            log_with=list(trackers) or None,
            project_dir=folder,
            # statistics are averaged by `Statistics`, over all groups and not those of the first rank
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        self.device = self._accelerator.device if launched() > 1 else device

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._accelerator.process_index

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self._accelerator.num_processes

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self._accelerator.is_main_process

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module`, its gradients averaged over all processes after each backward pass."""
        if self.world == 1:
            return module
        with warnings.catch_warnings():  # Accelerate knows `broadcast_buffers` by its old name alone
            warnings.simplefilter("ignore", FutureWarning)
            return self._accelerator.prepare_model(module, device_placement=False)

    def unsynchronised(self, module: Any) -> AbstractContextManager[Any]:
        """Within this, backward passes leave gradients with each process."""
        return self._accelerator.no_sync(module)

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        return self._accelerator.reduce(tensor, "mean") if self.world > 1 else tensor  # pyright: ignore[reportReturnType]

    def anywhere(self, flag: bool) -> bool:
        """Whether a flag is set in any process."""
        if self.world == 1:
            return flag
        return float(self.mean(torch.tensor(float(flag), device=self.device))) > 0

    def gather(self, value: T) -> list[T]:
        """The value of every process, in their order."""
        if self.world == 1:
            return [value]
        gathered: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of `items`: together the processes have every one once."""
        each = math.ceil(len(items) / self.world)
        return items[self.rank * each : (self.rank + 1) * each]

    def track(self, title: str, settings: Mapping[str, Any]) -> ProgressCallback:
        """A progress callback that logs every epoch to the trackers; a silent one without trackers.

        Args:
            title: What people call the run.
            settings: What it was asked to do.
        """
        if not self._trackers:
            return NoProgress()
        assert self._folder is not None, "trackers need a folder"
        return begin(self._accelerator, self._trackers, self._folder, title, settings)

    def finish(self) -> None:
        """Wait for all processes, and flush the trackers."""
        self.wait()
        if self._trackers:
            self._accelerator.end_training()

    def wait(self) -> None:
        """Wait for all processes."""
        self._accelerator.wait_for_everyone()
