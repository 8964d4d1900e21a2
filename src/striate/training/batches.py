"""The groups of images that this process trains on, in their order, from any step on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods
from typing import Protocol, final

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from striate.core.errors import WorkerError
from striate.core.seed import generator


class BatchSource(Protocol):
    """The training images, numbered from 0."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of some samples, as they look in this epoch; the same call gives the same answer.

        With workers this runs in another process, so both are on the CPU.
        """
        ...


def steps_an_epoch(samples: int, batch: int) -> int:
    """Full batches in one pass; one of all samples where they do not fill one."""
    return max(1, samples // batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How steps are split into micro-batches, and these among processes.

    Args:
        samples: Training images.
        batch: Images a step.
        micro_batch: Images of which a normalisation takes its statistics: those of one pass.
        seed: Of the order.
        sampling: How often an image is drawn relative to others, ``[samples]``; None takes each once an epoch.
        rank: The number of this process.
        world: How many there are.
    """

    samples: int
    batch: int
    micro_batch: int
    seed: int
    sampling: np.ndarray | None = None
    rank: int = 0
    world: int = 1

    @property
    def steps_an_epoch(self) -> int:
        """Steps in one pass over the images; the images that do not fill a batch are left out, others each time."""
        return steps_an_epoch(self.samples, self.batch)

    @property
    def micro_batches(self) -> int:
        """Groups a step, of all processes."""
        return max(1, min(self.batch, self.samples) // self.micro_batch)

    @property
    def passes(self) -> int:
        """Groups a step of this process."""
        return self.micro_batches // self.world

    def smaller(self) -> Layout | None:
        """The same steps in groups of at most half the size; None where a group is a single image."""
        images = min(self.batch, self.samples)
        for micro_batch in range(self.micro_batch // 2, 0, -1):
            halved = replace(self, micro_batch=micro_batch)
            if images % micro_batch == 0 and halved.micro_batches % self.world == 0:
                return halved
        return None

    def order(self, epoch: int) -> np.ndarray:
        """The samples of an epoch."""
        draw = generator(self.seed, "order", epoch)
        if self.sampling is None:
            return draw.permutation(self.samples)
        return draw.choice(self.samples, self.samples, p=self.sampling / self.sampling.sum())


@final
class _MicroBatches(Dataset[tuple[Tensor, Tensor]]):
    """Group number ``step * passes + k`` of this process."""

    def __init__(self, source: BatchSource, layout: Layout) -> None:
        self.source = source
        self.layout = layout
        self._order, self._epoch = np.empty(0, dtype=np.int64), -1

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        step, k = divmod(number, self.layout.passes)
        epoch, index = divmod(step, self.layout.steps_an_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = self.layout.order(epoch), epoch
        batch = self._order[index * self.layout.batch : (index + 1) * self.layout.batch]
        part = self.layout.rank * self.layout.passes + k
        parts = np.array_split(batch, self.layout.micro_batches)
        return self.source.batch(parts[part], epoch)


@contextmanager
def micro_batches(
    source: BatchSource, layout: Layout, *, first: int, last: int, workers: int
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """This process's groups of the steps from `first` to before `last`.

    Args:
        source: The images.
        layout: How they are split.
        first: The first step; earlier ones cost nothing.
        last: The step to stop before.
        workers: Processes that prepare groups ahead; 0 prepares each when it is its turn. The groups are the same.

    Raises:
        WorkerError: A worker died.
    """
    numbers = range(first * layout.passes, last * layout.passes)
    data = _MicroBatches(source, layout)
    if workers == 0:
        yield (data[number] for number in numbers)
        return
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=2,
        worker_init_fn=_leave_signals,
        # a fork shares the images' memory, and pickling would copy it
        multiprocessing_context="fork" if "fork" in get_all_start_methods() else None,
    )
    iterator = iter(loader)
    try:
        yield iterator
    except RuntimeError as error:  # raised wherever this process is when the worker dies, in a step as well
        if "DataLoader worker" not in str(error):
            raise
        raise WorkerError(
            f"a process that prepares images died: {error}",
            hint="memory may be full: use fewer workers or --workers 0; the run resumes from its last checkpoint",
        ) from error
    finally:
        iterator._shutdown_workers()  # pyright: ignore[reportAttributeAccessIssue]


def _leave_signals(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach every process; the workers serve on until the state is saved."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
