"""Classification as a member of the task contract: one class per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from striate.core import words
from striate.core.errors import DataError
from striate.data.image_index import ImageIndex
from striate.data.labels import numbers
from striate.data.source import PixelSource
from striate.data.split import Splits, Strata
from striate.records.recipes import Augment, Recipe
from striate.records.results import DataIssue, LayerProbe, Prediction, Score, Summary
from striate.tasks.base import Task
from striate.tasks.classify import labels, metrics, probe, report
from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.probabilities import log_softmax


@final
@dataclass(frozen=True, slots=True)
class Classification(Task):
    """One class per image.

    Args:
        classes: Class names in the order of the outputs.
    """

    classes: tuple[str, ...]

    name: ClassVar[str] = "classify"
    metric: ClassVar[str] = "top1"
    metric_title: ClassVar[str] = "accuracy"
    score_type: ClassVar[type] = Score
    averages: ClassVar[bool] = True
    probe_type: ClassVar[type] = LayerProbe

    @classmethod
    def read(cls, index: ImageIndex) -> tuple[Self, np.ndarray]:
        """The classes of a data set, and the class number of every image, int64 ``[n]``.

        Raises:
            DataError: There is one class only, or a class without a training image; class names differ only in case;
                an image has no label.
        """
        column = labels.training_column(index)
        return cls(column.values), column.codes

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """The classes of a trained model."""
        return cls(tuple(card["classes"]))

    def card(self) -> dict[str, Any]:
        """The class names."""
        return {"classes": list(self.classes)}

    def targets(self, index: ImageIndex) -> np.ndarray:
        """The class number of every image, int64 ``[n]``.

        Raises:
            DataError: A class of the data is not among the task's, or two mean the same.
        """
        own = {name: number for number, name in enumerate(self.classes)}
        return numbers(index, self.classes, own.get)

    def strata(self, targets: np.ndarray) -> Strata:
        """The classes."""
        return Strata(targets, self.classes)

    def require(self, targets: np.ndarray, *, train: np.ndarray) -> None:
        """Check that every class has a readable training image.

        Raises:
            DataError: One has none.
        """
        counts = np.bincount(targets[train], minlength=self.outputs)
        if not counts.all():
            missing = ", ".join(repr(self.classes[i]) for i in np.flatnonzero(counts == 0)[:5])
            raise DataError(
                f"no readable training image is left for the class {missing}",
                hint="repair the unreadable images, or remove the class",
            )

    def issues(self, targets: np.ndarray, usable: np.ndarray, splits: Splits | None = None) -> tuple[DataIssue, ...]:
        """Class imbalance, small classes, and classes that are missing from a set."""
        return tuple(labels.issues(self.classes, targets, usable, splits))

    def counts(self, targets: np.ndarray, splits: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
        """Images per class and split."""
        found = {name: np.bincount(targets[each], minlength=self.outputs) for name, each in splits.items()}
        return {label: {name: int(found[name][i]) for name in splits} for i, label in enumerate(self.classes)}

    def source(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        augment: Augment,
        *,
        seed: int,
        names: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        size: tuple[int, int] | None = None,
        proportions: np.ndarray | None = None,
    ) -> PixelSource:
        """Augmented images and their classes; mixed images have a fraction of each class."""
        return PixelSource(
            pixels,
            targets,
            augment,
            seed=seed,
            names=names,
            rows=rows,
            classes=self.outputs,
            size=size,
            proportions=proportions,
        )

    def loss(self, recipe: Recipe, targets: np.ndarray) -> CrossEntropy:
        """Cross-entropy with the recipe's label smoothing, class-weighted where the recipe balances by weights."""
        weights = torch.tensor(self._rarity(targets), dtype=torch.float32) if recipe.balance == "weights" else None
        return CrossEntropy(label_smoothing=recipe.label_smoothing, class_weights=weights)

    def sampling(self, recipe: Recipe, targets: np.ndarray) -> np.ndarray | None:
        """Chances by which every class is drawn equally often, where the recipe oversamples."""
        return self._rarity(targets)[targets] if recipe.balance == "oversample" else None

    def _rarity(self, targets: np.ndarray) -> np.ndarray:
        """How rare each class is relative to the mean class, ``[classes]``."""
        counts = np.bincount(targets, minlength=self.outputs)
        return np.where(counts > 0, len(targets) / (self.outputs * np.maximum(counts, 1)), 0.0)

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The class names."""
        return self.classes

    def calibrate(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """The temperature of Guo et al. 2017."""
        return metrics.fit_temperature(outputs, targets)

    def score(self, outputs: np.ndarray, targets: np.ndarray, *, temperature: float = 1.0) -> Score:
        """Accuracy, calibration and per-class metrics of logits ``[n, classes]``."""
        return metrics.score(outputs, targets, self.classes, temperature=temperature)

    def predictions(self, outputs: np.ndarray, *, temperature: float = 1.0, top: int = 5) -> list[list[dict[str, Any]]]:
        """The likeliest classes of each image: ``label`` and ``probability``."""
        probabilities = np.exp(log_softmax(outputs / temperature))
        orders = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return [
            [{"label": self.classes[i], "probability": float(row[i])} for i in order]
            for row, order in zip(probabilities, orders, strict=True)
        ]

    def rows(
        self, names: Sequence[str], outputs: np.ndarray, targets: np.ndarray, *, temperature: float = 1.0
    ) -> list[Prediction]:
        """Label, predicted class and its probability for each image."""
        log_p = log_softmax(outputs / temperature)
        return [
            Prediction(
                file=name,
                label=self.classes[label],
                prediction=self.classes[guess],
                probability=float(np.exp(row[guess])),
            )
            for name, label, guess, row in zip(names, targets, log_p.argmax(axis=1), log_p, strict=True)
        ]

    @classmethod
    def summary(cls, score: Score, issues: Sequence[DataIssue]) -> Summary:
        """Accuracy with its interval, the majority-class baseline, calibration, and warnings."""
        return report.summary(score, issues)

    @classmethod
    def format(cls, value: float) -> str:
        """A percentage."""
        return words.percent(value)

    @classmethod
    def format_interval(cls, ends: tuple[float, float]) -> str:
        """A range of percentages."""
        return words.interval(ends)

    @classmethod
    def format_difference(cls, difference: float) -> str:
        """Percentage points."""
        return f"{100 * difference:.1f} percentage points"

    @classmethod
    def mistakes(cls, rows: Sequence[Prediction]) -> Sequence[Prediction]:
        """The misclassified images with the highest predicted probability."""
        return report.worst_mistakes(rows)

    def probe(self, features: Tensor, targets: np.ndarray, *, seed: int) -> probe.Choice:
        """Logistic regression, with `C` chosen by cross-validation."""
        return probe.cross_validate(features, targets, self.outputs, seed=seed)

    def linear(self, features: Tensor, targets: np.ndarray, probe_: probe.Choice) -> tuple[Tensor, Tensor]:
        """Logistic regression on all samples."""
        found = probe.train_linear(features, targets, self.outputs, probe_.C)
        return found.weight.t(), found.bias


TASK = Classification
