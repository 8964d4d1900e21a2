"""The one training loop.

Order, augmentation and dropout are keyed by seed, epoch and sample, and statistics are taken over groups of a fixed
size. So a run that was killed and goes on from its last checkpoint ends with the weights of the run that was not, and
the number of processes and of workers changes nothing but the time.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.device import ran_out_of_memory
from striate.core.errors import NonFiniteLossError, OutOfMemoryError, PlanError
from striate.core.events import ProgressCallback
from striate.core.interrupt import Pending, deferred
from striate.core.seed import derive
from striate.records.recipes import Recipe
from striate.records.results import MicroBatch
from striate.training import optim, schedule
from striate.training.batches import BatchSource, Layout, micro_batches, steps_an_epoch
from striate.training.objective import Objective
from striate.training.ranks import Ranks
from striate.training.state import State
from striate.training.statistics import Statistics, has_statistics, require_several_values

CHECKED_EVERY = 16
"""Steps between two looks at the loss on an accelerator, where a look waits for it; on a CPU there is one a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training did.

    Args:
        steps: Optimiser steps in all.
        resumed_at: The step this process began with; 0 for a fresh run.
        resumes: The steps from which processes before and with this one went on.
        curve: A row an epoch: ``epoch, loss``, the ``lr`` of its last step, and what `evaluate` gave.
        seconds: Time of the whole training, earlier processes included.
        halved_at: The step at which the rate was halved because the loss was no number; None where it always was one.
        precision: Of the arithmetic.
        micro_batches: The images that were run at a time, and of which statistics were taken, from which step on.
    """

    steps: int
    resumed_at: int
    resumes: tuple[int, ...]
    curve: tuple[dict[str, float], ...]
    seconds: float
    halved_at: int | None
    precision: str
    micro_batches: tuple[MicroBatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setback:
    """Why training goes back to its last saved state, and what is otherwise from there on.

    Args:
        reason: What happened.
        layout: The smaller groups; None halves the rate.
    """

    reason: str
    layout: Layout | None = None


def total_steps(recipe: Recipe, samples: int) -> int:
    """Optimiser steps that a recipe takes on so many images."""
    return recipe.steps if recipe.steps is not None else recipe.epochs * steps_an_epoch(samples, recipe.batch)


def train(
    module: nn.Module,
    source: BatchSource,
    recipe: Recipe,
    *,
    loss: nn.Module,
    seed: int,
    progress: ProgressCallback,
    ranks: Ranks | None = None,
    lr_scales: Mapping[str, float] | None = None,
    chances: np.ndarray | None = None,
    precision: str = "float32",
    most: int | None = None,
    compiled: bool = False,
    workers: int = 0,
    save_to: Path | None = None,
    signature: str = "",
    save_every_s: float = 15.0,
    evaluate: Callable[[], dict[str, float]] | None = None,
    snapshot: Callable[[int], None] | None = None,
) -> Trained:
    """Train `module` in place.

    Every epoch draws a fresh order and drops the samples that do not fill a batch, so that no batch is small.

    Args:
        module: Maps inputs to outputs, on the device to train on. Parameters without ``requires_grad`` are not trained.
        source: The training images.
        recipe: How.
        loss: Maps outputs and targets to a scalar, the mean over the batch.
        seed: Of order and dropout.
        progress: Hears of steps and epochs.
        ranks: The processes that train together; None is this one alone.
        lr_scales: Share of the rate for parameters whose name begins with a key.
        chances: How often each image is drawn relative to others, ``[len(feed)]``; None takes each once an epoch.
        precision: ``float32``, or ``bf16`` for the arithmetic alone. A run that goes on keeps that of its state.
        most: Images that fit into memory at a time. A larger group is halved until it is within them, more groups
            make up the batch, and statistics are those of the smaller groups. A run that goes on keeps the groups of
            its state. None fits any.
        compiled: Whether the network runs through ``torch.compile``.
        workers: Processes that prepare images ahead.
        save_to: Where training's state is kept; it goes on from there when the file exists and bears `signature`.
        signature: Names everything that training depends on. A file with another one is not used.
        save_every_s: Seconds between two savings.
        evaluate: Called in evaluation mode after every epoch; its figures join the curve, and the accuracy ``top1``
            among them moves a schedule of kind ``plateau``.
        snapshot: Called in evaluation mode after every cycle of the rate, with the cycle's number, from 1.

    Raises:
        NonFiniteLossError: The loss is no longer a number, and going back once to the last state with half the rate did
            not help.
        OutOfMemoryError: Memory is full, and smaller groups do not help or cannot be taken.
        PlanError: The recipe's groups cannot be shared by so many processes, or are of 1 image and leave a
            normalisation a single value.
        WorkerError: A process that prepares images died; the state that was saved last is whole.
        StorageError: The state cannot be written; the one that was saved last is whole.
        KeyboardInterrupt: Somebody asked to stop; the state was saved first.
    """
    device = next(module.parameters()).device
    ranks = ranks or Ranks(device)
    state = State(
        module,
        optim.make(module, recipe, lr_scales),
        recipe,
        steps=total_steps(recipe, len(source)),
        file=save_to,
        signature=signature,
        writes=ranks.first,
    )
    run = _Run(state, source, ranks, device, seed, chances)
    run.objective = Objective(module, loss, aux_weight=recipe.aux_weight, precision=precision).to(device)
    if run.layout.micro_batch == 1:
        one = source.batch(run.layout.order(0)[:1], 0)
        require_several_values(run.objective, *(each.to(device) for each in one))
    run.wrapped = run.ranks.wrap(run.objective)
    if compiled:
        run.wrapped = torch.compile(run.wrapped)  # pyright: ignore[reportAttributeAccessIssue]
    state.restore()
    run.settle(precision, most, progress)
    first = state.progress.step
    progress.phase("training", state.steps, "step")
    with deferred(patient=run.ranks.world > 1) as pending:
        while state.progress.step < state.steps:
            setback = None
            try:
                run.go(progress, evaluate, snapshot, pending, workers, save_every_s)
            except (NonFiniteLossError, RuntimeError, MemoryError) as error:
                setback = run.setback(error)  # and forget the error, which holds on to the step's tensors
            if setback is not None:
                run.go_back(setback, progress)
    module.eval()
    if state.ema is not None:
        state.ema.keep()
    found = state.progress
    return Trained(
        steps=state.steps,
        resumed_at=first,
        resumes=tuple(found.resumes),
        curve=tuple(found.curve),
        seconds=found.seconds,
        halved_at=found.halved_at,
        precision=found.precision,
        micro_batches=tuple(MicroBatch(**each) for each in found.micro_batches),
    )


@final
class _Run:
    """A training under way: what it works with, and where it stands."""

    objective: Objective
    wrapped: nn.Module
    uses_batch_statistics: bool
    """Whether normalisations take statistics of each group."""

    def __init__(
        self,
        state: State,
        source: BatchSource,
        ranks: Ranks,
        device: torch.device,
        seed: int,
        chances: np.ndarray | None,
    ) -> None:
        self.state, self.module, self.recipe, self.steps = state, state.module, state.recipe, state.steps
        self.source, self.ranks, self.device, self.seed = source, ranks, device, seed
        recipe = state.recipe
        self.layout = Layout(
            samples=len(source),
            batch=recipe.batch,
            micro_batch=min(recipe.micro_batch or recipe.batch, max(1, len(source))),
            seed=seed,
            chances=chances,
            rank=ranks.rank,
            world=ranks.world,
        )
        if self.layout.micro_batches % ranks.world:
            raise PlanError(
                f"{ranks.world} processes cannot share {self.layout.micro_batches} micro-batches of "
                f"{self.layout.micro_batch} images",
                hint=f"take a --micro-batch that divides {recipe.batch // ranks.world}, or start fewer processes",
            )

    def go(
        self,
        progress: ProgressCallback,
        evaluate: Callable[[], dict[str, float]] | None,
        snapshot: Callable[[int], None] | None,
        pending: Pending,
        workers: int,
        save_every_s: float,
    ) -> None:
        """Take steps until the last."""
        now = self.state.progress
        began, saved = time.monotonic() - now.seconds, time.monotonic()
        epoch_began, epoch_first = time.monotonic(), now.step
        statistics = Statistics(self.module, self.layout.passes, self.ranks)
        per_epoch, every = self.layout.steps_an_epoch, 1 if self.device.type == "cpu" else CHECKED_EVERY
        if not self.state.kept:
            self.state.save()  # so that there is a state to go back to
        self.module.train()
        cycles = schedule.cycle_ends(self.recipe.schedule, self.steps)
        fallen, unread = schedule.drops(self.recipe.schedule, self._history()), torch.zeros((), device=self.device)
        with micro_batches(self.source, self.layout, first=now.step, last=self.steps, workers=workers) as batches:
            for step in range(now.step, self.steps):
                lr = self.recipe.lr * schedule.share(self.recipe.schedule, step, self.steps, fallen)
                lr *= 1.0 if now.halved_at is None else 0.5
                optim.set_lr(self.state.optimizer, lr)
                unread += self._step(step, batches, statistics)
                last = step == self.steps - 1
                ends = last or (step + 1) % per_epoch == 0
                looks = ends or (step + 1) % every == 0  # at the same steps in every process, whose clocks differ
                stop = looks and self.ranks.anywhere(pending.asked)
                due = last or (looks and self.ranks.anywhere(time.monotonic() - saved > save_every_s))
                if looks:
                    now.loss += self._read(unread, step)
                    unread.zero_()
                now.step = step + 1
                progress.step(step + 1)
                now.seconds = time.monotonic() - began
                if ends:
                    pace = (now.step - epoch_first) * self.recipe.batch / (time.monotonic() - epoch_began)
                    due |= self._end_epoch(step, lr, pace, progress, evaluate)
                    epoch_began, epoch_first = time.monotonic(), now.step
                    fallen = schedule.drops(self.recipe.schedule, self._history())
                if snapshot is not None and now.step in cycles:
                    self.state.require_finite()
                    with self._evaluated():
                        snapshot(1 + cycles.index(now.step))
                if due or stop:
                    self.state.save()
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt

    def _step(self, step: int, batches: Iterator[tuple[Tensor, Tensor]], statistics: Statistics) -> Tensor:
        """One optimiser step; its mean loss, not yet waited for."""
        optimizer = self.state.optimizer
        optimizer.zero_grad(set_to_none=True)
        statistics.begin_step()
        total = torch.zeros((), device=self.device)
        passes = self.layout.passes
        for k in range(passes):
            inputs, labels = next(batches)
            number = step * self.layout.micro_batches + self.layout.rank * passes + k
            torch.manual_seed(derive(self.seed, "step", number))
            last = k == passes - 1
            with nullcontext() if last else self.ranks.unsynchronised(self.wrapped):
                loss = self.wrapped(inputs.to(self.device, non_blocking=True), labels.to(self.device)) / passes
                loss.backward()
            total += loss.detach()
            statistics.end_micro_batch()
        statistics.end_step()
        if self.recipe.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(
                [p for g in optimizer.param_groups for p in g["params"]], self.recipe.clip_grad_norm
            )
        optimizer.step()
        if self.state.ema is not None:
            self.state.ema.update(step)
        return total

    def _read(self, unread: Tensor, step: int) -> float:
        value = float(self.ranks.mean(unread))
        if not math.isfinite(value):
            epoch = step // self.layout.steps_an_epoch + 1
            raise NonFiniteLossError(
                f"the loss became {value} at step {step} of {self.steps} (epoch {epoch})",
                hint=f"lower the learning rate (now {self.recipe.lr:g}), or look for broken images",
            )
        return value

    def _end_epoch(
        self,
        step: int,
        lr: float,
        pace: float,
        progress: ProgressCallback,
        evaluate: Callable[[], dict[str, float]] | None,
    ) -> bool:
        """Look at the validation images.

        Returns:
            Whether it is the best epoch so far. Its state is then saved, so that whoever keeps the weights of the best
            epoch has those of an epoch that counts, even where training goes back.
        """
        now, before = self.state.progress, self._history()
        epoch, index = divmod(step, self.layout.steps_an_epoch)
        row = {"epoch": float(epoch + 1), "loss": now.loss / (index + 1), "lr": lr}
        if evaluate is not None:
            self.state.require_finite()
            with self._evaluated():
                row |= evaluate()
        now.curve.append(row)
        now.loss = 0.0
        progress.record("epoch", {**row, "images_per_s": pace})  # the pace is told, not kept: a curve has no times
        return "top1" in row and row["top1"] > max(before, default=-1.0)

    @contextmanager
    def _evaluated(self) -> Iterator[None]:
        """Within this the network is in evaluation mode, with averaged weights where the recipe averages them."""
        self.module.eval()
        with self.state.ema.applied() if self.state.ema is not None else nullcontext():
            yield
        self.module.train()

    def _history(self) -> list[float]:
        return [row["top1"] for row in self.state.progress.curve if "top1" in row]

    # ------------------------------------------------------------------ what a machine affords, and what goes wrong

    def settle(self, precision: str, most: int | None, progress: ProgressCallback) -> None:
        """Take up the precision and the groups that a state began with, or those that this machine affords."""
        now = self.state.progress
        self.uses_batch_statistics = has_statistics(self.module.train())
        if not now.micro_batches:
            limits = [each for each in self.ranks.gather(most) if each is not None]
            asked, now.precision = self.layout.micro_batch, precision
            while limits and self.layout.micro_batch > min(limits) and (smaller := self._smaller()) is not None:
                self.layout = smaller
            now.micro_batches = [asdict(MicroBatch(step=0, images=self.layout.micro_batch))]
            if self.layout.micro_batch < asked:
                progress.note(
                    f"memory does not hold {asked} images at a time: {self._in_micro_batches(self.layout)}",
                    asked=asked,
                    images=self.layout.micro_batch,
                )
        self.layout = replace(self.layout, micro_batch=now.micro_batches[-1]["images"])
        self.objective.precision = now.precision

    def setback(self, error: Exception) -> _Setback:
        """What to do otherwise after an error.

        Raises:
            NonFiniteLossError: It was one, and nothing is left to try.
            OutOfMemoryError: Memory is full, and nothing is left to try.
        """
        if isinstance(error, NonFiniteLossError):
            if self.state.progress.halved_at is not None or self.state.file is None:
                raise error
            return _Setback(reason=error.message)
        if not ran_out_of_memory(error):
            raise error
        reason = f"memory ran out at {self.layout.micro_batch} images at a time"
        smaller = self._smaller()
        if smaller is None or self.state.file is None or self.ranks.world > 1:
            raise OutOfMemoryError(
                f"{reason}, after step {self.state.progress.step} of {self.steps}",
                hint="take a smaller --micro-batch, smaller images or a smaller network, or --precision bf16",
            ) from error
        return _Setback(reason=reason, layout=smaller)

    def go_back(self, setback: _Setback, progress: ProgressCallback) -> None:
        """Take the last state up again, and do otherwise from there on."""
        self.ranks.wait()
        self.state.go_back()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        now = self.state.progress
        if setback.layout is None:
            now.halved_at = now.step
            event, otherwise = "halved", "half the rate"
        else:
            self.layout = setback.layout
            now.micro_batches.append(asdict(MicroBatch(step=now.step, images=self.layout.micro_batch)))
            event, otherwise = "regrouped", self._in_micro_batches(self.layout)
        progress.note(f"{setback.reason}; went back to step {now.step}, and on with {otherwise}", step=now.step)
        progress.record(event, {"step": now.step, "reason": setback.reason, "micro_batch": self.layout.micro_batch})
        self.state.save()

    def _smaller(self) -> Layout | None:
        """Groups of half the size; None where there are none, or no statistics could be taken of them."""
        smaller = self.layout.smaller()
        return None if smaller is None or (smaller.micro_batch == 1 and self.uses_batch_statistics) else smaller

    def _in_micro_batches(self, layout: Layout) -> str:
        """What smaller groups mean, in words."""
        words = f"{layout.micro_batches} groups of {layout.micro_batch} images a step"
        return f"{words}, of which batch statistics are taken" if self.uses_batch_statistics else words
