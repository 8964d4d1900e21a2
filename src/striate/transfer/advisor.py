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

from striate.cache import keys
from striate.core.errors import NonFiniteLossError
from striate.core.preprocess import Preprocess
from striate.core.seed import derive
from striate.inference import predict
from striate.models.network import ImageModel
from striate.models.pixels import PixelNetwork
from striate.records.recipes import Recipe, recipe
from striate.records.results import Candidate, LayerProbe
from striate.records.sizes import LayerRow
from striate.tasks.classify import metrics, probe
from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.classify.source import PixelSource
from striate.training.batches import steps_an_epoch
from striate.training.loop import train
from striate.training.options import Hooks, Saving, TrainingOptions
from striate.transfer.clock import Clock
from striate.transfer.context import CachedFeatures, TransferContext
from striate.transfer.finetune import finetune
from striate.transfer.work import PASSES_OVER_MACS, training_seconds

CROSS_AT_MOST = 1000
"""Labelled images up to which candidates are judged by cross-validation over all of them, and the winner is trained
on all of them: a fifth of few images is too few to choose by, and too many to do without. With more, a fixed
validation part decides, and a trained winner stays as it was judged."""
FOLDS = 4
CHEAP = 0.25
"""Share of the plan's work up to which a rung of the ladder is tried although the one before did not pay."""
LEAST_EPOCHS = 3
SCRATCH_EPOCHS = 12
"""Passes below which a network from scratch has hardly begun; its images shrink until the budget affords so many."""


@final
@dataclass(kw_only=True)
class Attempt:
    """A candidate with what is needed to judge it and, if it wins, to build the final network.

    Args:
        row: What the record says of it.
        logits: Of the validation images, ``[n, classes]``; None when skipped.
        temperature: What makes them likeliest.
        loss: Their mean negative log-likelihood at that temperature.
        build: Gives the final network and its preprocessing; None when skipped.
    """

    row: Candidate
    logits: np.ndarray | None = None
    temperature: float = 1.0
    loss: float = float("inf")
    build: Callable[[], tuple[ImageModel, Preprocess]] | None = None

    @property
    def top1(self) -> float:
        """Validation accuracy."""
        return self.row.validation.top1 if self.row.validation else 0.0


@final
class Advisor:
    """Tries what is worth trying.

    Args:
        context: Data, network and means.
        features: The cached pass, already run.
        clock: The budget.
    """

    def __init__(self, context: TransferContext, features: CachedFeatures, clock: Clock) -> None:
        self.context = context
        self.features = features
        self.clock = clock
        grey = context.preprocess.in_channels == 1
        self.tuning = recipe("finetune_grey" if grey else "finetune")
        self.from_nothing = recipe("scratch_grey" if grey else "scratch")
        self.labelled = np.sort(np.concatenate([context.train, context.validation]))
        self.folds = self._folds()
        self.held = np.concatenate([held for _, held in self.folds])
        self.choices: dict[str, probe.Choice] = {}
        self.depth: tuple[LayerProbe, ...] = ()
        self.layer = ""

    @property
    def crossed(self) -> bool:
        """Whether candidates are judged by cross-validation over all labelled images."""
        return len(self.folds) > 1

    @property
    def final(self) -> np.ndarray:
        """Images that a trained winner is trained on in the end."""
        return self.labelled if self.crossed else self.context.train

    def _folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Images to fit on and images to judge by: several pairs where there are few images, else the split."""
        context = self.context
        if len(self.labelled) > CROSS_AT_MOST:
            return [(context.train, context.validation)]
        fold = probe.fold_of(context.labels(self.labelled), context.plan.seed, folds=FOLDS)
        return [(self.labelled[fold != f], self.labelled[fold == f]) for f in range(FOLDS)]

    def probe(self) -> None:
        """Accuracy by depth on the training images, and the point at which features are best."""
        context = self.context
        images = self.final
        layers = context.model.feature_layers
        context.progress.phase("fitting linear probes", len(layers), "layer")
        self.choices, self.depth = probe.by_depth(
            lambda layer: self.features.at(layer, images),
            layers,
            context.labels(images),
            context.classes,
            seed=context.plan.seed,
        )
        self.layer = min(layers, key=lambda p: self.choices[p].loss)

    # ------------------------------------------------------------------ candidates

    def head(self) -> Attempt:
        """A linear head on frozen features at the best point."""
        context, began = self.context, time.monotonic()
        logits = [self._linear(fit).logits(self.features.at(self.layer, held)).numpy() for fit, held in self.folds]
        model = self._skeleton()
        kept = model.stages
        row = Candidate(
            strategy="head",
            reused_stages=kept,
            reason=f"logistic regression on the pooled features of {self.layer}",
            input_px=context.preprocess.size,
            epochs=1,
            macs=float(len(self.labelled)) * sum(row.macs for row in context.rows_of(model, kept)),
            seconds=time.monotonic() - began,
        )
        return self._judged(row, np.concatenate(logits), lambda: (self._with_head(self.labelled), context.preprocess))

    def tuned(self, unfrozen: int) -> Attempt:
        """The head, then the `unfrozen` top stages trained with it."""
        context = self.context
        skeleton = self._skeleton()
        stages = skeleton.stages
        trained = stages[len(stages) - unfrozen :]
        frozen = stages[: len(stages) - unfrozen]
        rows = context.rows_of(skeleton, trained)
        epochs, skip_reason, estimated_s = self._epochs(rows, self.tuning)
        row = Candidate(
            strategy="finetune", reused_stages=frozen, trained_stages=trained, input_px=context.preprocess.size
        )
        if skip_reason:
            return Attempt(row=dataclasses.replace(row, status="skipped", reason=skip_reason))
        plan = dataclasses.replace(self.tuning, epochs=epochs)
        row = dataclasses.replace(row, macs=self._training_macs(rows, epochs))
        cut = frozen[-1] if frozen else None

        def build(positions: np.ndarray, name: str) -> tuple[ImageModel, tuple[dict[str, float], ...], float]:
            model = self._with_head(positions)
            images = context.pixels(positions, context.preprocess, "pixels")
            state = context.work / f"{name}-{unfrozen}.safetensors"
            result = finetune(
                model,
                context.preprocess,
                images,
                plan,
                cut=cut,
                seed=context.plan.seed,
                state=state,
                maps=context.work,
                device=context.device,
                progress=context.progress,
                cancel=context.cancel,
                engine=context.plan.engine,
            )
            return model, result.curve, result.seconds

        return self._trained(row, plan, estimated_s, context.preprocess, build)

    def cheap(self, unfrozen: int) -> bool:
        """Whether training the `unfrozen` top stages costs little of what the plan allows."""
        model = self._skeleton()
        rows = self.context.rows_of(model, model.stages[-unfrozen:])
        return 0 < self._epochs(rows, self.tuning)[2] <= CHEAP * self.context.plan.work

    def scratch(self) -> Attempt:
        """The same network from random weights, under the budget that fine-tuning has."""
        context = self.context
        preprocess = self._affordable()
        rows = context.rows_at(preprocess.size)
        row = Candidate(strategy="scratch", trained_stages=context.model.stages, input_px=preprocess.size)
        epochs, skip_reason, estimated_s = self._epochs(rows, self.from_nothing)
        if skip_reason:
            return Attempt(row=dataclasses.replace(row, status="skipped", reason=skip_reason))
        plan = dataclasses.replace(self.from_nothing, epochs=epochs)
        row = dataclasses.replace(row, macs=self._training_macs(rows, epochs))

        def build(positions: np.ndarray, name: str) -> tuple[ImageModel, tuple[dict[str, float], ...], float]:
            torch.manual_seed(derive(context.plan.seed, "scratch"))
            model = context.entry.classifier(
                classes=context.classes, in_channels=preprocess.in_channels, options=context.options
            )
            model.aux.clear()  # of use in longer trainings than these
            module = PixelNetwork(model, preprocess).to(context.device)
            images = context.pixels(positions, preprocess, "pixels")
            source = PixelSource(
                images.pixels,
                images.labels,
                plan.augment,
                seed=context.plan.seed,
                names=images.names,
            )
            result = train(
                module.to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
                source,
                plan,
                TrainingOptions(seed=context.plan.seed),
                saving=Saving(
                    file=context.work / f"{name}.safetensors",
                    signature=keys.of_folder(recipe=plan, preprocess=preprocess, images=list(images.digests)),
                ),
                hooks=Hooks(progress=context.progress, cancel=context.cancel),
                loss=CrossEntropy(label_smoothing=plan.label_smoothing),
            )
            return model, result.curve, result.seconds

        return self._trained(row, plan, estimated_s, preprocess, build)

    # ------------------------------------------------------------------ parts

    def _epochs(self, rows: Sequence[LayerRow], method: Recipe) -> tuple[int, str, float]:
        """Passes that the plan affords through some layers, why none is begun (empty if one is), and their seconds.

        All folds together may spend what the plan allows a candidate.
        """
        a_pass = training_seconds(rows) * self._fitted
        epochs = min(method.epochs, int(self.context.plan.work / a_pass))
        if epochs < LEAST_EPOCHS:
            times = LEAST_EPOCHS * a_pass / self.context.plan.work
            return (
                epochs,
                f"{LEAST_EPOCHS} passes need {times:.1f} times the work that the plan allows: raise --budget",
                0,
            )
        return epochs, self.clock.skip_reason(epochs * a_pass), epochs * a_pass

    @property
    def _fitted(self) -> int:
        """Images in one pass through what is fitted on, over all folds."""
        return sum(len(fit) for fit, _ in self.folds)

    def _training_macs(self, rows: Sequence[LayerRow], epochs: int) -> float:
        return float(PASSES_OVER_MACS * sum(row.macs for row in rows) * self._fitted * epochs)

    def _skeleton(self) -> ImageModel:
        """A copy of the pretrained network up to the best point, with a fresh head."""
        model = copy.deepcopy(self.context.model)
        model.truncate(self.layer, self.context.classes)
        return model

    def _linear(self, positions: np.ndarray) -> probe.Linear:
        return probe.train_linear(
            self.features.at(self.layer, positions),
            self.context.labels(positions),
            self.context.classes,
            self.choices[self.layer].C,
        )

    def _with_head(self, positions: np.ndarray) -> ImageModel:
        """The pretrained network with the head that logistic regression found."""
        model, linear = self._skeleton(), self._linear(positions)
        with torch.no_grad():
            model.head.logits_layer.weight.copy_(linear.weight.t())
            model.head.logits_layer.bias.copy_(linear.bias)
        return model.eval()

    def _affordable(self) -> Preprocess:
        """The largest images at which the budget affords `SCRATCH_EPOCHS` passes."""
        full = self.context.preprocess
        least = self.context.model.min_side
        preprocess = full
        for share in (1.0, 0.75, 0.5, 0.375, 0.25):
            height, width = (max(least, round(side * share / 8) * 8 if share < 1 else side) for side in full.size)
            size = (height, width)
            resize = None if full.resize is None else max(*size, round(full.resize * size[0] / full.size[0]))
            preprocess = dataclasses.replace(full, size=size, resize=resize)
            a_pass = training_seconds(self.context.rows_at(size)) * self._fitted
            if SCRATCH_EPOCHS * a_pass <= self.context.plan.work or min(size) <= least:
                break
        return preprocess

    def _trained(
        self,
        row: Candidate,
        plan: Recipe,
        estimated_s: float,
        preprocess: Preprocess,
        build: Callable[[np.ndarray, str], tuple[ImageModel, tuple[dict[str, float], ...], float]],
    ) -> Attempt:
        logits, curve, spent = [], (), 0.0
        try:
            for number, (fit, held) in enumerate(self.folds, start=1):
                model, curve, seconds = build(fit, f"{row.strategy}-fold{number}")
                logits.append(self.logits(model, preprocess, held, "evaluating on the validation set"))
                spent += seconds
        except NonFiniteLossError as error:
            return Attempt(row=dataclasses.replace(row, status="skipped", reason=error.message))
        self.clock.learn(estimated_s, spent)
        row = dataclasses.replace(
            row,
            epochs=plan.epochs,
            steps=sum(plan.epochs * steps_an_epoch(len(fit), plan.batch) for fit, _ in self.folds),
            curve=curve,
            seconds=spent,
        )

        def finally_built() -> tuple[ImageModel, Preprocess]:
            name = "final" if self.crossed else "fold1"  # the one fold's network is the final one, already trained
            return build(self.final, f"{row.strategy}-{name}")[0], preprocess

        return self._judged(row, np.concatenate(logits), finally_built)

    def logits(self, model: ImageModel, preprocess: Preprocess, positions: np.ndarray, phase: str) -> np.ndarray:
        """Logits of readable images, ``[n, classes]``."""
        context = self.context
        return predict.predict_batches(
            PixelNetwork(model, preprocess).eval(),
            preprocess,
            context.index,
            positions,
            width=context.classes,
            progress=context.progress,
            phase=phase,
            device=context.device,
            fast=context.plan.fast_resize,
        ).values

    def _judged(
        self, row: Candidate, logits: np.ndarray, build: Callable[[], tuple[ImageModel, Preprocess]]
    ) -> Attempt:
        labels = self.context.labels(self.held)
        temperature = metrics.fit_temperature(logits, labels)
        score = metrics.score(logits, labels, self.context.task.classes, temperature=temperature)
        row = dataclasses.replace(row, validation=score)
        self.context.progress.record("candidate", {"strategy": row.strategy, "top1": score.top1, "loss": score.loss})
        return Attempt(row=row, logits=logits, temperature=temperature, loss=score.loss, build=build)


def better(challenger: Attempt, holder: Attempt) -> bool:
    """Whether a costlier candidate replaces a simpler one: more images right, or as many at a lower loss."""
    return (challenger.top1, -challenger.loss) > (holder.top1, -holder.loss)


def advise(advisor: Advisor) -> tuple[Attempt, list[Attempt]]:
    """Try the candidates, the simplest first, and choose.

    Returns:
        The winner, and all in the order they were tried.
    """
    advisor.probe()
    best = advisor.head()
    attempts = [best]
    for unfrozen in range(1, len(best.row.reused_stages) + 1):
        if attempts[-1] is not best and not advisor.cheap(unfrozen):
            break
        attempt = advisor.tuned(unfrozen)
        attempts.append(attempt)
        if attempt.build is None:
            break
        if better(attempt, best):
            best = attempt
    if advisor.context.plan.scratch:
        attempt = advisor.scratch()
        attempts.append(attempt)
        if attempt.build is not None and better(attempt, best):
            best = attempt
    return best, attempts
