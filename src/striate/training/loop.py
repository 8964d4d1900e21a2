"""The training loop.

Sample order, augmentation and dropout are keyed by seed, epoch and sample, and batch-norm statistics are those of
micro-batches of a fixed size. So a killed run that resumes from its last checkpoint ends with the weights of an
uninterrupted run, and the number of processes and of workers changes nothing but the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from striate.core.draws import draws_from
from striate.core.errors import JobCancelled, NonFiniteLossError, PlanError
from striate.core.seed import derive
from striate.records.recipes import Recipe
from striate.records.results import MicroBatch
from striate.training import optim, schedule
from striate.training.batches import BatchSource, Layout, micro_batches, steps_an_epoch
from striate.training.objective import Objective
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.training.ranks import Ranks
from striate.training.recovery import Recovery
from striate.training.state import State
from striate.training.statistics import Statistics, require_several_values

PHASE = "training"
"""The phase of the steps, as progress shows it."""
CHECKED_EVERY = 16
"""Steps between two readings of the loss on an accelerator, where reading waits for it; a CPU reads it every step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training did.

    Args:
        steps: Optimizer steps in all.
        resumed_at: The step this process began with; 0 for a fresh run.
        resumes: The steps from which this process and earlier ones resumed.
        curve: A row per epoch: ``epoch, loss``, the ``lr`` of its last step, and what `Hooks.evaluate` returned.
        seconds: Time of the whole training, earlier processes included.
        halved_at: The step at which the learning rate was halved because the loss was NaN or infinite; None if it
            never was.
        precision: Of the arithmetic.
        micro_batches: The micro-batch sizes in use, each with its first step.
    """

    steps: int
    resumed_at: int
    resumes: tuple[int, ...]
    curve: tuple[dict[str, float], ...]
    seconds: float
    halved_at: int | None
    precision: str
    micro_batches: tuple[MicroBatch, ...]


def total_steps(recipe: Recipe, samples: int) -> int:
    """Optimizer steps that a recipe takes on this many images."""
    return recipe.steps if recipe.steps is not None else recipe.epochs * steps_an_epoch(samples, recipe.batch)


def train(
    module: nn.Module,
    source: BatchSource,
    recipe: Recipe,
    options: TrainingOptions,
    *,
    loss: nn.Module,
    saving: Saving | None = None,
    hooks: Hooks | None = None,
    ranks: Ranks | None = None,
) -> Trained:
    """Train `module` in place.

    Every epoch draws a fresh order and drops the samples that do not fill a batch, so that no batch is small.

    Args:
        module: Maps inputs to outputs, on the device to train on. Parameters without ``requires_grad`` are not trained.
        source: The training images.
        recipe: Optimizer, schedule and epochs.
        options: How it computes.
        loss: Maps outputs and targets to a scalar, the mean over the batch.
        saving: Where its state is saved; None saves nothing.
        hooks: What it calls while it runs; None calls nothing.
        ranks: The processes that train together; None is this one alone.

    Raises:
        NonFiniteLossError: The loss is NaN or infinite, and returning once to the last state with half the learning
            learning rate did not help.
        OutOfMemoryError: Memory is full, and smaller micro-batches do not help or are impossible.
        PlanError: The processes cannot share the recipe's micro-batches, or a micro-batch of 1 image leaves a batch
            normalisation a single value.
        WorkerError: A worker process died; the state saved last is whole.
        StorageError: The state cannot be written; the state saved last is whole.
        JobCancelled: `Hooks.cancel` asked to stop; the state was saved first.
    """
    saving, hooks = saving or Saving(), hooks or Hooks()
    device = next(module.parameters()).device
    ranks = ranks or Ranks(device)
    state = State(
        module,
        optim.make(module, recipe, options.lr_scales),
        recipe,
        steps=total_steps(recipe, len(source)),
        file=saving.file,
        signature=saving.signature,
        writes=ranks.first,
    )
    layout = _layout(source, recipe, options, ranks)
    state.restore()
    recovery = Recovery(state, ranks, device, hooks.progress)
    layout = recovery.begin(layout, options.precision, options.max_micro_batch)
    objective = Objective(module, loss, aux_weight=recipe.aux_weight, precision=state.progress.precision).to(device)
    if layout.micro_batch == 1:
        one = source.batch(layout.order(0)[:1], 0)
        require_several_values(objective, *(each.to(device) for each in one))
    wrapped = ranks.wrap(objective)
    if options.compiled:
        wrapped = torch.compile(wrapped)
    first = state.progress.step
    hooks.progress.phase(PHASE, state.steps, "step")
    with hooks.cancel.held():
        while state.progress.step < state.steps:
            attempt, setback = _Attempt(state, wrapped, source, layout, ranks, device, options, saving, hooks), None
            try:
                attempt.run()
            except (NonFiniteLossError, RuntimeError, MemoryError) as error:
                setback = recovery.setback(error, layout)  # and forget the error, which holds on to the step's tensors
            if setback is not None:
                layout = recovery.go_back(setback, layout)
    return _finish(state, first)


def _layout(source: BatchSource, recipe: Recipe, options: TrainingOptions, ranks: Ranks) -> Layout:
    """How the recipe splits its steps into micro-batches, and those among the processes."""
    layout = Layout(
        samples=len(source),
        batch=recipe.batch,
        micro_batch=min(recipe.micro_batch or recipe.batch, max(1, len(source))),
        seed=options.seed,
        sampling=options.sampling,
        rank=ranks.rank,
        world=ranks.world,
    )
    if layout.micro_batches % ranks.world:
        raise PlanError(
            f"{ranks.world} processes cannot share {layout.micro_batches} micro-batches of {layout.micro_batch} images",
            hint=f"use a --micro-batch that divides {recipe.batch // ranks.world}, or start fewer processes",
        )
    return layout


def _finish(state: State, resumed_at: int) -> Trained:
    """Put the final weights in place, the EMA where the recipe keeps one."""
    state.module.eval()
    if state.ema is not None:
        state.ema.keep()
    found = state.progress
    return Trained(
        steps=state.steps,
        resumed_at=resumed_at,
        resumes=tuple(found.resumes),
        curve=tuple(found.curve),
        seconds=found.seconds,
        halved_at=found.halved_at,
        precision=found.precision,
        micro_batches=tuple(MicroBatch(**each) for each in found.micro_batches),
    )


@final
class _Attempt:
    """The steps from the present state to the last, in micro-batches of one size."""

    def __init__(
        self,
        state: State,
        wrapped: Callable[..., Tensor],
        source: BatchSource,
        layout: Layout,
        ranks: Ranks,
        device: torch.device,
        options: TrainingOptions,
        saving: Saving,
        hooks: Hooks,
    ) -> None:
        self.state, self.module, self.recipe, self.steps = state, state.module, state.recipe, state.steps
        self.wrapped, self.source, self.layout, self.ranks, self.device = wrapped, source, layout, ranks, device
        self.options, self.saving, self.hooks = options, saving, hooks
        self.cycles = schedule.cycle_ends(self.recipe.schedule, self.steps)

    def run(self) -> None:
        """Take steps until the last.

        Raises:
            JobCancelled: It was asked to stop; the state was saved first.
        """
        now, progress = self.state.progress, self.hooks.progress
        began, saved = time.monotonic() - now.seconds, time.monotonic()
        epoch_began, epoch_first = time.monotonic(), now.step
        statistics = Statistics(self.module, self.layout.passes, self.ranks)
        per_epoch, every = self.layout.steps_an_epoch, 1 if self.device.type == "cpu" else CHECKED_EVERY
        if not self.state.kept:
            self.state.save()  # so that there is a state to go back to
        self.module.train()
        fallen, unread = schedule.drops(self.recipe.schedule, self._history()), torch.zeros((), device=self.device)
        workers = self.options.workers
        with micro_batches(self.source, self.layout, first=now.step, last=self.steps, workers=workers) as batches:
            for step in range(now.step, self.steps):
                lr = self._set_lr(step, fallen)
                unread += self._step(step, batches, statistics)
                last = step == self.steps - 1
                ends = last or (step + 1) % per_epoch == 0
                looks = ends or (step + 1) % every == 0  # at the same steps in every process, whose clocks differ
                stop = looks and self.ranks.anywhere(self.hooks.cancel.requested)
                due = last or (looks and self.ranks.anywhere(time.monotonic() - saved > self.saving.every_s))
                if looks:
                    now.loss += self._read(unread, step)
                    unread.zero_()
                now.step = step + 1
                progress.step(step + 1)
                now.seconds = time.monotonic() - began
                if ends:
                    pace = (now.step - epoch_first) * self.recipe.batch / (time.monotonic() - epoch_began)
                    due |= self._end_epoch(step, lr, pace)
                    epoch_began, epoch_first = time.monotonic(), now.step
                    fallen = schedule.drops(self.recipe.schedule, self._history())
                self._keep_snapshot()
                if due or stop:
                    self.state.save()
                    saved = time.monotonic()
                if stop:
                    raise JobCancelled(f"training was cancelled after step {now.step} of {self.steps}")

    def _set_lr(self, step: int, fallen: int) -> float:
        lr = self.recipe.lr * schedule.share(self.recipe.schedule, step, self.steps, fallen)
        lr *= 1.0 if self.state.progress.halved_at is None else 0.5
        optim.set_lr(self.state.optimizer, lr)
        return lr

    def _step(self, step: int, batches: Iterator[tuple[Tensor, Tensor]], statistics: Statistics) -> Tensor:
        """One optimizer step; its mean loss, which nothing has waited for yet."""
        optimizer = self.state.optimizer
        optimizer.zero_grad(set_to_none=True)
        statistics.begin_step()
        total = torch.zeros((), device=self.device)
        passes = self.layout.passes
        for k in range(passes):
            inputs, labels = next(batches)
            number = step * self.layout.micro_batches + self.layout.rank * passes + k
            last = k == passes - 1
            with self._draws(number), nullcontext() if last else self.ranks.unsynchronised(self.wrapped):
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

    def _draws(self, number: int) -> AbstractContextManager[None]:
        """Dropout's draws of a micro-batch; those of a compiled network come from the generator of the process."""
        seed = derive(self.options.seed, "step", number)
        if self.options.compiled:
            torch.manual_seed(seed)
            return nullcontext()
        return draws_from(seed)

    def _read(self, unread: Tensor, step: int) -> float:
        value = float(self.ranks.mean(unread))
        if not math.isfinite(value):
            epoch = step // self.layout.steps_an_epoch + 1
            raise NonFiniteLossError(
                f"the loss became {value} at step {step} of {self.steps} (epoch {epoch})",
                hint=f"lower the learning rate (now {self.recipe.lr:g}), or look for broken images",
            )
        return value

    def _end_epoch(self, step: int, lr: float, pace: float) -> bool:
        """Evaluate on the validation images.

        Returns:
            Whether it is the best epoch so far. Its state is then saved, so that the best epoch's weights belong to an
            epoch of the curve even if training goes back.
        """
        now, before = self.state.progress, self._history()
        epoch, index = divmod(step, self.layout.steps_an_epoch)
        row = {"epoch": float(epoch + 1), "loss": now.loss / (index + 1), "lr": lr}
        if self.hooks.evaluate is not None:
            self.state.require_finite()
            with self._evaluated():
                row |= self.hooks.evaluate()
        now.curve.append(row)
        now.loss = 0.0
        # the pace is reported and not kept: a curve has no times
        self.hooks.progress.record("epoch", {**row, "images_per_s": pace})
        metric = self.hooks.metric
        return metric in row and row[metric] > max(before, default=-math.inf)

    def _keep_snapshot(self) -> None:
        """At the end of a cycle of the schedule."""
        step = self.state.progress.step
        if self.hooks.snapshot is not None and step in self.cycles:
            self.state.require_finite()
            with self._evaluated():
                self.hooks.snapshot(1 + self.cycles.index(step))

    @contextmanager
    def _evaluated(self) -> Iterator[None]:
        """Within this block the network is in evaluation mode, with its EMA weights when the recipe keeps an EMA."""
        self.module.eval()
        with self.state.ema.applied() if self.state.ema is not None else nullcontext():
            yield
        self.module.train()

    def _history(self) -> list[float]:
        metric = self.hooks.metric
        return [row[metric] for row in self.state.progress.curve if metric in row]
