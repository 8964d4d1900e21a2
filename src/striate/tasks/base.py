"""The task contract: everything that depends on what stands beside an image.

A task is a small value that knows its outputs (a classification knows its class names). `transfer`, `jobs` and `report`
hold a `Task` and call it; the layers below take what it gives. None of them knows which task it is. A new task is a new
folder beside `classify/` with one subclass of `Task` in its ``task.py``; `tasks.get` finds it by its folder's name.

The targets of a data set are a sequence with one item per image that numpy can index: ``targets[positions]``. An int64
array of class numbers, a float array, an array of mask paths: only the task looks inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, final

import numpy as np
from torch import Tensor, nn

from striate.data import audit
from striate.data.headers import Headers
from striate.data.image_index import LABEL, ImageIndex
from striate.data.split import Splits, Strata
from striate.models import Entry
from striate.models.network import ImageModel
from striate.records.recipes import Augment, Recipe
from striate.records.results import DataIssue, Summary
from striate.tasks import fingerprint
from striate.training.batches import BatchSource

Targets = Any
"""One item per image, indexed by an int64 array of positions."""


class Probe(Protocol):
    """What cross-validation found about one layer's features: how well a linear head on them does."""

    @property
    def loss(self) -> float:
        """Mean loss over the held-out samples; the layer with the lowest is the best."""
        ...

    def row(self, layer: str, channels: int) -> Any:
        """The record of the probe, a `Task.probe_type`.

        Args:
            layer: Name of the feature layer.
            channels: Number of features.
        """
        ...


class TaskSource(BatchSource, Protocol):
    """Training images whose targets can also be had without the images."""

    def targets(self, samples: np.ndarray) -> Tensor:
        """The targets of some samples, as `batch` gives them when augmentation leaves targets alone."""
        ...


class Task(ABC):
    """What a network is trained for. Instances are immutable."""

    name: ClassVar[str]
    """Name of the task, and of its folder: ``classify``."""
    metric: ClassVar[str]
    """Field of the score by which models are compared, higher is better: ``top1``."""
    metric_title: ClassVar[str]
    """What people call it: ``accuracy``."""
    column: ClassVar[str] = LABEL
    """The annotation column that holds the targets; duplicates of an image must agree in it."""
    score_type: ClassVar[type]
    """The record that `score` returns; ``metrics.json`` holds it under ``test`` and ``validation``. Its fields include
    `metric`, the interval of the metric (``top1_interval``), ``loss`` and ``n``."""
    probe_type: ClassVar[type]
    """The record that `Probe.row` returns; ``metrics.json`` holds it under ``depth``. Its fields include ``stage`` (the
    name of the layer), ``channels`` (the number of features), ``loss``, `metric` and the interval of the metric."""

    averages: ClassVar[bool] = False
    """Whether outputs are logits of classes: several models, and augmented copies of an image, are then averaged as
    probabilities, and a score is computed from log-probabilities as from logits."""

    # ------------------------------------------------------------------ data

    @classmethod
    @abstractmethod
    def read(cls, index: ImageIndex) -> tuple[Self, Targets]:
        """The task that a data set poses, and the target of every image.

        Raises:
            DataError: The data set does not have what the task needs.
        """

    @classmethod
    @abstractmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """The task of a trained model, from what `card` gave."""

    def card(self) -> dict[str, Any]:
        """What a trained model keeps of the task: JSON values; nothing unless overridden."""
        return {}

    @abstractmethod
    def targets(self, index: ImageIndex) -> Targets:
        """The target of every image of another data set, on which a trained model is evaluated.

        Raises:
            DataError: The data set does not have what the task needs.
        """

    def fingerprint(self, targets: Targets) -> str:
        """The identity of targets and of what they mean, such as the order of classes.

        A training that was stopped resumes only if it is the same. A task whose targets are files overrides this, so
        that it depends on their content.

        Args:
            targets: Of the images that are trained on, in order.
        """
        return fingerprint.fingerprint(self.name, self.card(), targets)

    def strata(self, targets: Targets) -> Strata | None:
        """The strata, such as classes, whose proportions splits and folds keep; None for no strata."""
        return None

    @abstractmethod
    def require(self, targets: Targets, *, train: np.ndarray) -> None:
        """Check that the readable training images suffice.

        Raises:
            DataError: They do not; the message says what is missing.
        """

    def issues(self, targets: Targets, usable: np.ndarray, splits: Splits | None = None) -> tuple[DataIssue, ...]:
        """What a person should know about the targets, such as imbalance.

        Args:
            targets: Of all images.
            usable: Positions of the images that can be read.
            splits: The split in use; None before there is one.
        """
        return ()

    @final
    def audit(
        self,
        index: ImageIndex,
        targets: Targets,
        digests: Sequence[str],
        splits: Splits | None = None,
        unreadable: Mapping[int, str] | None = None,
        *,
        seen: Headers | None = None,
    ) -> tuple[DataIssue, ...]:
        """All issues of a data set, those of its images and those of its targets; see `data.audit.audit`."""
        usable = audit.usable_images(digests, unreadable or {})
        found = self.issues(targets, usable, splits)
        return audit.audit(index, digests, unreadable, column=self.column, of_targets=found, seen=seen)

    def counts(self, targets: Targets, splits: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
        """Images per group of targets (a class) and split, for the data summary; empty without groups."""
        return {}

    # ------------------------------------------------------------------ network

    def network(
        self, entry: Entry, *, in_channels: int | None = None, options: Mapping[str, Any] | None = None
    ) -> ImageModel:
        """The network `entry` with random weights and this task's head: unless overridden, a linear layer.

        Raises:
            PlanError: The network cannot serve this task.
        """
        return entry.classifier(classes=self.outputs, in_channels=in_channels, options=options)

    def fit_head(self, model: ImageModel, layer: str) -> None:
        """Keep `model` up to the feature layer `layer`, and give it this task's head with fresh weights."""
        model.truncate(layer, self.outputs)

    # ------------------------------------------------------------------ training

    @abstractmethod
    def source(
        self,
        pixels: np.ndarray,
        targets: Targets,
        augment: Augment,
        *,
        seed: int,
        names: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        size: tuple[int, int] | None = None,
        proportions: np.ndarray | None = None,
    ) -> TaskSource:
        """Training images augmented together with their targets; see `data.source.PixelSource`."""

    @abstractmethod
    def loss(self, recipe: Recipe, targets: Targets) -> nn.Module:
        """The loss: a module from outputs and a batch of targets to a scalar, the mean over the batch.

        Args:
            recipe: Its label smoothing and its balance.
            targets: Of all training images.
        """

    def sampling(self, recipe: Recipe, targets: Targets) -> np.ndarray | None:
        """How often each training image is drawn relative to others, ``[n]``; None draws each once per epoch."""
        return None

    # ------------------------------------------------------------------ prediction

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Length of the network's output for one image."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names in the order of the outputs, as ``model.json`` keeps them."""
        return tuple(f"output {number}" for number in range(1, self.outputs + 1))

    def calibrate(self, outputs: np.ndarray, targets: Targets) -> float:
        """The temperature fitted on validation outputs; 1 where the task has none."""
        return 1.0

    @abstractmethod
    def score(self, outputs: np.ndarray, targets: Targets, *, temperature: float = 1.0) -> Any:
        """Everything that is reported about outputs on labelled images, with intervals; a `score_type`."""

    @abstractmethod
    def predictions(self, outputs: np.ndarray, *, temperature: float = 1.0, top: int = 5) -> list[list[dict[str, Any]]]:
        """The predictions for each image, best first, as `striate predict` prints them."""

    @abstractmethod
    def rows(
        self, names: Sequence[str], outputs: np.ndarray, targets: Targets, *, temperature: float = 1.0
    ) -> list[Any]:
        """The rows of ``predictions.csv``, one frozen record per image."""

    @classmethod
    @abstractmethod
    def summary(cls, score: Any, issues: Sequence[DataIssue]) -> Summary:
        """What a report says first of a test score, with its figures.

        A report shows more if `striate.report` has a template ``scores/<name>.html``.

        Args:
            score: A `score_type`.
            issues: What is known about the data.
        """

    @final
    @classmethod
    def value(cls, score: Any) -> float:
        """The metric in a `score_type` or a `probe_type`; higher is better."""
        return float(getattr(score, cls.metric))

    @final
    @classmethod
    def interval(cls, score: Any) -> tuple[float, float]:
        """The 95 % interval of the metric in a `score_type` or a `probe_type`."""
        return getattr(score, f"{cls.metric}_interval")

    @classmethod
    def format(cls, value: float) -> str:
        """A value of the metric, for people."""
        return f"{value:.3f}"

    @classmethod
    def format_interval(cls, ends: tuple[float, float]) -> str:
        """An interval of the metric, for people."""
        return f"{cls.format(ends[0])} to {cls.format(ends[1])}"

    @classmethod
    def format_difference(cls, difference: float) -> str:
        """A difference of two values of the metric, at least 0, for people."""
        return f"{difference:.3f}"

    @classmethod
    def mistakes(cls, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows of ``predictions.csv`` whose images the report shows, the worst first; none unless overridden."""
        return ()

    # ------------------------------------------------------------------ linear heads on frozen features

    @abstractmethod
    def probe(self, features: Tensor, targets: Targets, *, seed: int) -> Probe:
        """Cross-validate a regularised linear head on features, float32 ``[n, d]``."""

    @abstractmethod
    def linear(self, features: Tensor, targets: Targets, probe: Probe) -> tuple[Tensor, Tensor]:
        """Fit that head on all samples: weight ``[outputs, d]`` and bias ``[outputs]`` for raw features."""
