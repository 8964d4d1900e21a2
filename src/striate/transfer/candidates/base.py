"""What every candidate can do: estimate its cost, be evaluated, and build the final network."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from striate.core.errors import NonFiniteLossError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Preprocess
from striate.models.network import ImageModel
from striate.records import results
from striate.records.recipes import Recipe
from striate.records.sizes import LayerRow
from striate.training.batches import steps_an_epoch
from striate.training.loop import Trained
from striate.transfer.budget import Estimate, estimate_training
from striate.transfer.context import TransferContext
from striate.transfer.curve import sampled
from striate.transfer.probe import ProbeResult
from striate.transfer.watch import CandidateWatch


class Candidate(ABC):
    """One way to build the network.

    Args:
        context: The data and the pretrained network.
        record: What the record says about the candidate before it is evaluated.
        title: What the candidate does, as the subject of a sentence: ``fine-tuning stage4``.
        layer: The feature layer of the pretrained network that the head is on; None if no pretrained weights are kept.
    """

    def __init__(self, context: TransferContext, record: results.Candidate, *, title: str, layer: str | None) -> None:
        self.context = context
        self.record = record
        self.title = title
        self.layer = layer

    @property
    def pretrained(self) -> bool:
        """Whether the network keeps pretrained weights."""
        return self.layer is not None

    @abstractmethod
    def estimate(self) -> Estimate:
        """What evaluating the candidate will cost."""

    @property
    def final_work(self) -> float:
        """Work of `build`, in units of `estimate`."""
        return 0.0

    @abstractmethod
    def evaluate(self, watch: CandidateWatch) -> Result:
        """Fit the candidate and evaluate it on the validation images, or on every fold.

        Args:
            watch: Receives progress.

        Raises:
            BudgetSpent: It would end after the budget.
        """

    @abstractmethod
    def build(self, watch: CandidateWatch) -> tuple[ImageModel, Preprocess]:
        """The final network, trained on all images that the winner may use, and its preprocessing.

        Args:
            watch: Receives progress.

        Raises:
            BudgetSpent: It would end after the budget.
        """


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A candidate after it was evaluated or skipped.

    Args:
        candidate: The candidate.
        record: What the record says about it.
        temperature: The temperature that was fitted on its validation outputs.
    """

    candidate: Candidate
    record: results.Candidate
    temperature: float = 1.0

    @property
    def skipped(self) -> bool:
        """Whether it was not evaluated; the record has the reason."""
        return self.record.validation is None

    @property
    def value(self) -> float:
        """The task's metric on the validation images; higher is better."""
        return self.candidate.context.task.value(self.record.validation)

    @property
    def loss(self) -> float:
        """Mean loss on the validation images."""
        assert self.record.validation is not None
        return self.record.validation.loss


Strategy = Callable[[TransferContext, ProbeResult], Sequence[Candidate]]
"""From the probes to the candidates of one strategy, each costlier than the one before."""


def skipped(candidate: Candidate, reason: str) -> Result:
    """The result of a candidate that was not evaluated."""
    return Result(candidate=candidate, record=dataclasses.replace(candidate.record, status="skipped", reason=reason))


def judged(candidate: Candidate, record: results.Candidate, outputs: np.ndarray) -> Result:
    """The result of a candidate by its outputs for the held-out images, ``[n, outputs]``."""
    context = candidate.context
    task, targets = context.task, context.targets[context.sets.held_out]
    temperature = task.calibrate(outputs, targets)
    score = task.score(outputs, targets, temperature=temperature)
    facts = {"strategy": record.strategy, task.metric: task.value(score), "loss": score.loss}
    context.progress.record("candidate", facts)
    return Result(candidate=candidate, record=dataclasses.replace(record, validation=score), temperature=temperature)


class TrainedCandidate(Candidate):
    """A candidate that is trained by gradient descent, once for every fold.

    Args:
        context: The data and the pretrained network.
        record: What the record says about it before it is evaluated.
        title: As in `Candidate`.
        layer: As in `Candidate`.
        recipe: How to train; its epochs are the maximum.
        layers: Sizes of the layers that are trained.
        preprocess: The preprocessing of the training images.
    """

    def __init__(
        self,
        context: TransferContext,
        record: results.Candidate,
        *,
        title: str,
        layer: str | None,
        recipe: Recipe,
        layers: Sequence[LayerRow],
        preprocess: Preprocess,
    ) -> None:
        estimate = estimate_training(layers, recipe, images=context.sets.fitted, work_s=context.plan.work)
        super().__init__(context, dataclasses.replace(record, input_px=preprocess.size), title=title, layer=layer)
        self.recipe = dataclasses.replace(recipe, epochs=max(1, estimate.epochs))
        self.preprocess = preprocess
        self._estimate = estimate
        self._map_bytes = max((row.activation_bytes for row in layers), default=0)

    @abstractmethod
    def train(
        self, positions: np.ndarray, state: Path, progress: ProgressCallback, held_out: np.ndarray | None = None
    ) -> tuple[ImageModel, Trained]:
        """Train the network on some images.

        Args:
            positions: Which images.
            state: File of the training state; training resumes from it.
            progress: Receives progress.
            held_out: Images that are evaluated after every epoch, for the curve; None for none.
        """

    @final
    def estimate(self) -> Estimate:
        """What training on all folds will cost."""
        return self._estimate

    @property
    @final
    def final_work(self) -> float:
        """Work of the last training, on all images; 0 if the evaluated network is the final one."""
        sets = self.context.sets
        return len(sets.final) / sets.fitted if sets.crossed else 0.0

    @final
    def evaluate(self, watch: CandidateWatch) -> Result:
        """Train and evaluate on every fold."""
        sets, phase = self.context.sets, "evaluating on the validation images"
        watch.expect(work=1.0 + self.final_work, trainings=len(sets.pairs) + sets.crossed)
        record = dataclasses.replace(self.record, macs=self._estimate.macs)
        outputs: list[np.ndarray] = []
        curve: tuple[dict[str, float], ...] = ()
        seconds = 0.0
        try:
            for fold, (fit, held_out) in enumerate(sets.pairs, start=1):
                label = f"fold {fold} of {len(sets.pairs)}" if sets.crossed else ""
                with watch.training(label, len(fit) / sets.fitted):
                    shown = sampled(held_out, self._input_bytes) if fold == 1 else held_out[:0]
                    model, trained = self.train(fit, self._state(f"fold{fold}"), watch, shown if len(shown) else None)
                    outputs.append(self.context.outputs(model, self.preprocess, held_out, phase, watch).values)
                curve, seconds = curve or trained.curve, seconds + trained.seconds
        except NonFiniteLossError as error:
            return Result(candidate=self, record=dataclasses.replace(record, status="skipped", reason=error.message))
        steps = sum(self.recipe.epochs * steps_an_epoch(len(fit), self.recipe.batch) for fit, _ in sets.pairs)
        record = dataclasses.replace(record, epochs=self.recipe.epochs, steps=steps, curve=curve, seconds=seconds)
        return judged(self, record, np.concatenate(outputs))

    @final
    def build(self, watch: CandidateWatch) -> tuple[ImageModel, Preprocess]:
        """Train on the final images; with a single pair, that training is finished already, and its state is read."""
        sets = self.context.sets
        watch.expect(work=self.final_work, trainings=1)
        with watch.training("all images", self.final_work or 1.0):
            model, _ = self.train(sets.final, self._state("final" if sets.crossed else "fold1"), watch)
        return model, self.preprocess

    @property
    def _input_bytes(self) -> int:
        """Size of one image as an input of the trained stages, at most: of the maps that the first of them writes."""
        return max(self.preprocess.in_channels * self.preprocess.size[0] * self.preprocess.size[1], self._map_bytes)

    def _state(self, name: str) -> Path:
        parts = [self.record.strategy, *self.record.trained_stages[:1], name]
        return self.context.work / f"{'-'.join(parts)}.safetensors"
