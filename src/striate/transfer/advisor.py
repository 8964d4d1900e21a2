"""The procedure that finds how to reuse a pretrained network, and carries it out.

Probe every stage; put a head on the best; thaw from the top, one stage more at a time, while it pays; train the same
network from nothing under the same budget; and choose on validation. How much each candidate may do is foretold from
sizes (`transfer.work`) and fixed by the plan, so that no result depends on the clock.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from striate.core.errors import NonFiniteLossError
from striate.core.preprocess import Preprocess
from striate.core.seed import derive
from striate.features import keys, run
from striate.models.base import ImageModel
from striate.records.recipes import Recipe, recipe
from striate.records.results import Candidate, DepthPoint
from striate.records.sizes import LayerRow
from striate.tasks.classify import metrics
from striate.tasks.classify.feed import PixelFeed
from striate.tasks.classify.network import Classifier
from striate.train.loop import steps_an_epoch, train
from striate.transfer import probe
from striate.transfer.finetune import finetune
from striate.transfer.problem import CachedFeatures, Problem
from striate.transfer.work import PASSES_OVER_MACS, training_seconds

LEAST_EPOCHS = 3
SCRATCH_EPOCHS = 12
"""Passes below which a network from scratch has hardly begun; its pictures shrink until the budget affords so many."""


@final
@dataclass(kw_only=True)
class Attempt:
    """A candidate with what is needed to judge it and, if it wins, to train it again on all labelled pictures.

    Args:
        row: What the record says of it.
        logits: Of the validation pictures, ``[n, classes]``; None when skipped.
        temperature: What makes them likeliest.
        loss: Their mean negative log-likelihood at that temperature.
        build: Positions to a trained network and its preprocessing; None when skipped.
    """

    row: Candidate
    logits: np.ndarray | None = None
    temperature: float = 1.0
    loss: float = float("inf")
    build: Callable[[np.ndarray], tuple[ImageModel, Preprocess]] | None = None

    @property
    def top1(self) -> float:
        """Validation accuracy."""
        return self.row.validation.top1 if self.row.validation else 0.0


@final
class Clock:
    """What is left of the budget. It may drop whole candidates, and nothing else.

    Args:
        budget_s: Seconds for the whole run; None never runs out.
    """

    RESERVE = 0.15

    def __init__(self, budget_s: float | None) -> None:
        self.began = time.monotonic()
        self.budget_s = budget_s
        self.slowness = 1.0

    def learn(self, foretold: float, seconds: float) -> None:
        """Take notice of how fast this machine trains."""
        if seconds > 1:
            self.slowness = seconds / foretold

    def lacks(self, foretold: float) -> str:
        """Why work that is foretold to take so many seconds cannot be begun; empty when it can."""
        if self.budget_s is None:
            return ""
        left = self.budget_s * (1 - self.RESERVE) - (time.monotonic() - self.began)
        needed = foretold * self.slowness
        if needed <= left:
            return ""
        return f"needs about {needed:.0f} s of the budget's remaining {max(0.0, left):.0f} s"


@final
class Advisor:
    """Tries what is worth trying.

    Args:
        problem: Data, network and means.
        features: The cached pass, already run.
        clock: The budget.
    """

    def __init__(self, problem: Problem, features: CachedFeatures, clock: Clock) -> None:
        self.problem = problem
        self.features = features
        self.clock = clock
        grey = problem.preprocess.in_channels == 1
        self.tuning = recipe("finetune_grey" if grey else "finetune")
        self.from_nothing = recipe("scratch_grey" if grey else "scratch")
        self.choices: dict[str, probe.Choice] = {}
        self.depth: tuple[DepthPoint, ...] = ()
        self.point = ""

    def probe(self) -> None:
        """Accuracy by depth on the training pictures, and the point at which features are best."""
        problem = self.problem
        points = problem.model.feature_points
        problem.listener.phase("probing every stage", len(points), "stage")
        self.choices, self.depth = probe.by_depth(
            lambda point: self.features.at(point, problem.train),
            points,
            problem.labels(problem.train),
            problem.classes,
            seed=problem.plan.seed,
        )
        self.point = min(points, key=lambda p: self.choices[p].loss)

    # ------------------------------------------------------------------ candidates

    def head(self) -> Attempt:
        """A linear head on frozen features at the best point."""
        problem, began = self.problem, time.monotonic()
        linear = self._linear(problem.train)
        logits = linear.logits(self.features.at(self.point, problem.validation)).numpy()
        kept = self._skeleton().stages
        row = Candidate(
            strategy="head",
            reused_stages=kept,
            reason=f"logistic regression on the pooled features of {self.point}",
            input_px=problem.preprocess.size,
            epochs=1,
            macs=float(len(problem.train)) * sum(row.macs for s in kept for row in problem.rows_by_stage[s]),
            seconds=time.monotonic() - began,
        )
        return self._judged(row, logits, lambda positions: (self._with_head(positions), problem.preprocess))

    def tuned(self, thawed: int) -> Attempt:
        """The head, then the `thawed` top stages trained with it."""
        problem = self.problem
        stages = self._skeleton().stages
        trained = stages[len(stages) - thawed :]
        frozen = stages[: len(stages) - thawed]
        rows = [row for stage in trained for row in problem.rows_by_stage[stage]]
        epochs, lack, foretold = self._epochs(rows, self.tuning)
        row = Candidate(
            strategy="finetune", reused_stages=frozen, trained_stages=trained, input_px=problem.preprocess.size
        )
        if lack:
            return Attempt(row=dataclasses.replace(row, status="skipped", reason=lack))
        plan = dataclasses.replace(self.tuning, epochs=epochs)
        row = dataclasses.replace(row, macs=_training_macs(rows, len(problem.train) * epochs))
        cut = frozen[-1] if frozen else None

        def build(positions: np.ndarray, name: str) -> tuple[ImageModel, tuple[dict[str, float], ...], float]:
            model = self._with_head(positions)
            pictures = problem.pixels(positions, problem.preprocess, "pixels")
            folder = problem.work / f"{name}-{thawed}"
            folder.mkdir(parents=True, exist_ok=True)
            result = finetune(
                model,
                problem.preprocess,
                pictures,
                plan,
                cut=cut,
                seed=problem.plan.seed,
                folder=folder,
                device=problem.device,
                listener=problem.listener,
            )
            return model, result.curve, result.seconds

        return self._trained(row, plan, foretold, problem.preprocess, build)

    def scratch(self) -> Attempt:
        """The same network from random weights, under the budget that fine-tuning has."""
        problem = self.problem
        preprocess = self._affordable()
        rows = problem.rows_at(preprocess.size)
        row = Candidate(strategy="scratch", trained_stages=problem.model.stages, input_px=preprocess.size)
        epochs, lack, foretold = self._epochs(rows, self.from_nothing)
        if lack:
            return Attempt(row=dataclasses.replace(row, status="skipped", reason=lack))
        plan = dataclasses.replace(self.from_nothing, epochs=epochs)
        row = dataclasses.replace(row, macs=_training_macs(rows, len(problem.train) * epochs))

        def build(positions: np.ndarray, name: str) -> tuple[ImageModel, tuple[dict[str, float], ...], float]:
            torch.manual_seed(derive(problem.plan.seed, "scratch"))
            model = problem.entry.create(
                classes=problem.classes, in_channels=preprocess.in_channels, options=problem.options
            )
            module = Classifier(model, preprocess).to(problem.device)
            pictures = problem.pixels(positions, preprocess, "pixels")
            feed = PixelFeed(
                pictures.pixels, pictures.labels, plan.augment, seed=problem.plan.seed, device=problem.device
            )
            folder = problem.work / name
            folder.mkdir(parents=True, exist_ok=True)
            result = train(
                module.to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
                feed,
                plan,
                seed=problem.plan.seed,
                listener=problem.listener,
                save_to=folder / "training.safetensors",
                signature=keys.of_folder(recipe=plan, preprocess=preprocess, pictures=list(pictures.digests)),
            )
            return model, result.curve, result.seconds

        return self._trained(row, plan, foretold, preprocess, build)

    # ------------------------------------------------------------------ parts

    def _epochs(self, rows: Sequence[LayerRow], method: Recipe) -> tuple[int, str, float]:
        """Passes that the plan affords through some layers, why none is begun (empty if one is), and their seconds."""
        a_pass = training_seconds(rows) * len(self.problem.train)
        epochs = min(method.epochs, int(self.problem.plan.work / a_pass))
        if epochs < LEAST_EPOCHS:
            times = LEAST_EPOCHS * a_pass / self.problem.plan.work
            return (
                epochs,
                f"{LEAST_EPOCHS} passes need {times:.1f} times the work that the plan allows: raise --budget",
                0,
            )
        return epochs, self.clock.lacks(epochs * a_pass), epochs * a_pass

    def _skeleton(self) -> ImageModel:
        """A copy of the pretrained network up to the best point, with a fresh head."""
        model = copy.deepcopy(self.problem.model)
        model.truncate(self.point, self.problem.classes)
        return model

    def _linear(self, positions: np.ndarray) -> probe.Linear:
        return probe.train_linear(
            self.features.at(self.point, positions),
            self.problem.labels(positions),
            self.problem.classes,
            self.choices[self.point].strength,
        )

    def _with_head(self, positions: np.ndarray) -> ImageModel:
        """The pretrained network with the head that logistic regression found."""
        model, linear = self._skeleton(), self._linear(positions)
        with torch.no_grad():
            model.head.logits_layer.weight.copy_(linear.weight.t())
            model.head.logits_layer.bias.copy_(linear.bias)
        return model.eval()

    def _affordable(self) -> Preprocess:
        """The largest pictures at which the budget affords `SCRATCH_EPOCHS` passes."""
        full = self.problem.preprocess
        least = self.problem.model.min_side
        preprocess = full
        for share in (1.0, 0.75, 0.5, 0.375, 0.25):
            height, width = (max(least, round(side * share / 8) * 8 if share < 1 else side) for side in full.size)
            size = (height, width)
            resize = None if full.resize is None else max(*size, round(full.resize * size[0] / full.size[0]))
            preprocess = dataclasses.replace(full, size=size, resize=resize)
            a_pass = training_seconds(self.problem.rows_at(size)) * len(self.problem.train)
            if SCRATCH_EPOCHS * a_pass <= self.problem.plan.work or min(size) <= least:
                break
        return preprocess

    def _trained(
        self,
        row: Candidate,
        plan: Recipe,
        foretold: float,
        preprocess: Preprocess,
        build: Callable[[np.ndarray, str], tuple[ImageModel, tuple[dict[str, float], ...], float]],
    ) -> Attempt:
        problem = self.problem
        try:
            model, curve, seconds = build(problem.train, row.strategy)
        except NonFiniteLossError as error:
            return Attempt(row=dataclasses.replace(row, status="skipped", reason=error.message))
        self.clock.learn(foretold, seconds)
        logits = self.logits(model, preprocess, problem.validation, "validation pictures")
        row = dataclasses.replace(
            row,
            epochs=plan.epochs,
            steps=plan.epochs * steps_an_epoch(len(problem.train), plan.batch),
            curve=curve,
            seconds=seconds,
        )

        def again(positions: np.ndarray) -> tuple[ImageModel, Preprocess]:
            return build(positions, f"{row.strategy}-all")[0], preprocess

        return self._judged(row, logits, again)

    def logits(self, model: ImageModel, preprocess: Preprocess, positions: np.ndarray, phase: str) -> np.ndarray:
        """Logits of readable pictures, ``[n, classes]``."""
        problem = self.problem
        return run.over(
            Classifier(model, preprocess).eval(),
            preprocess,
            problem.index,
            positions,
            width=problem.classes,
            listener=problem.listener,
            phase=phase,
            device=problem.device,
            fast=problem.plan.fast_resize,
        ).values

    def _judged(
        self, row: Candidate, logits: np.ndarray, build: Callable[[np.ndarray], tuple[ImageModel, Preprocess]]
    ) -> Attempt:
        labels = self.problem.labels(self.problem.validation)
        temperature = metrics.fit_temperature(logits, labels)
        score = metrics.score(logits, labels, self.problem.index.classes, temperature=temperature)
        row = dataclasses.replace(row, validation=score)
        self.problem.listener.record("candidate", {"strategy": row.strategy, "top1": score.top1, "loss": score.loss})
        return Attempt(row=row, logits=logits, temperature=temperature, loss=score.loss, build=build)


def _training_macs(rows: Sequence[LayerRow], pictures: int) -> float:
    return float(PASSES_OVER_MACS * sum(row.macs for row in rows) * pictures)


def better(challenger: Attempt, holder: Attempt) -> bool:
    """Whether a costlier candidate takes the place of a simpler one: a lower loss, and no fewer pictures right."""
    return challenger.loss < holder.loss and challenger.top1 >= holder.top1


def advise(advisor: Advisor) -> tuple[Attempt, list[Attempt]]:
    """Try the candidates, the simplest first, and choose.

    Returns:
        The winner, and all in the order they were tried.
    """
    advisor.probe()
    best = advisor.head()
    attempts = [best]
    for thawed in range(1, len(best.row.reused_stages) + 1):
        attempt = advisor.tuned(thawed)
        attempts.append(attempt)
        if attempt.build is None or not better(attempt, best):
            break
        best = attempt
    if advisor.problem.plan.scratch:
        attempt = advisor.scratch()
        attempts.append(attempt)
        if attempt.build is not None and better(attempt, best):
            best = attempt
    return best, attempts
