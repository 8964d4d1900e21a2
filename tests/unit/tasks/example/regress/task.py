"""Regression of one number per image, read from the column ``target``: an example of a task in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.errors import DataError
from striate.core.words import plural
from striate.data.image_index import ImageIndex
from striate.data.source import PixelSource
from striate.records.recipes import Augment, Recipe
from striate.records.results import DataIssue, Summary
from striate.tasks.base import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionScore:
    """Errors on `n` images: mean absolute error, r2, and mean squared error, with 95 % intervals."""

    n: int
    mae: float
    mae_interval: tuple[float, float]
    r2: float
    r2_interval: tuple[float, float]
    loss: float
    temperature: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of ``predictions.csv``."""

    file: str
    label: float
    prediction: float


@dataclass(frozen=True, slots=True)
class Ridge:
    """A probe and its mean squared error on held-out samples."""

    loss: float


@final
class MeanSquaredError(nn.Module):
    """Outputs ``[n, 1]`` and targets ``[n]`` to a scalar."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean squared error."""
        return nn.functional.mse_loss(outputs[:, 0], targets)


@final
@dataclass(frozen=True, slots=True)
class Regression(Task):
    """One number per image."""

    name: ClassVar[str] = "regress"
    metric: ClassVar[str] = "r2"
    metric_title: ClassVar[str] = "r2"
    column: ClassVar[str] = "target"
    score_type: ClassVar[type] = RegressionScore
    outputs: ClassVar[int] = 1  # pyright: ignore[reportIncompatibleMethodOverride]

    @classmethod
    def read(cls, index: ImageIndex) -> tuple[Regression, np.ndarray]:
        task = cls()
        return task, task.targets(index)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Regression:
        return cls()

    def targets(self, index: ImageIndex) -> np.ndarray:
        try:
            return np.array([float(cell) for cell in index.annotation(self.column)], dtype=np.float32)
        except ValueError as error:
            raise DataError(f"the column {self.column!r} holds what is not a number: {error}") from error

    def require(self, targets: np.ndarray, *, train: np.ndarray) -> None:
        if len(train) < 2:
            raise DataError("a regression needs at least 2 training images")

    def source(self, pixels: np.ndarray, targets: np.ndarray, augment: Augment, **options: Any) -> PixelSource:
        return PixelSource(pixels, targets, augment, **options)

    def loss(self, recipe: Recipe, targets: np.ndarray) -> MeanSquaredError:
        return MeanSquaredError()

    def score(self, outputs: np.ndarray, targets: np.ndarray, *, temperature: float = 1.0) -> RegressionScore:
        errors, spread, n = np.abs(outputs[:, 0] - targets), max(float(targets.var()), 1e-12), len(targets)
        low, mae, high = _interval(errors)
        least, mse, most = _interval(errors**2)
        r2 = (1 - most / spread, 1 - mse / spread, 1 - least / spread)
        return RegressionScore(n=n, mae=mae, mae_interval=(low, high), r2=r2[1], r2_interval=(r2[0], r2[2]), loss=mse)

    def predictions(self, outputs: np.ndarray, *, temperature: float = 1.0, top: int = 5) -> list[list[dict[str, Any]]]:
        return [[{"value": float(row[0])}] for row in outputs]

    def rows(
        self, names: Sequence[str], outputs: np.ndarray, targets: np.ndarray, *, temperature: float = 1.0
    ) -> list[Row]:
        found = zip(names, targets, outputs[:, 0], strict=True)
        return [Row(file=name, label=float(target), prediction=float(output)) for name, target, output in found]

    @classmethod
    def summary(cls, score: RegressionScore, issues: Sequence[DataIssue]) -> Summary:
        figures = (("Mean absolute error", f"{score.mae:.3f}"), ("R2", f"{score.r2:.3f}"))
        evidence = f"The 95 % confidence interval is {score.mae_interval}, from {plural(score.n, 'test image')}."
        headline = f"Mean absolute error: {score.mae:.3f}"
        return Summary(
            figure=f"{score.mae:.3f}",
            title="mean absolute error",
            headline=headline,
            evidence=evidence,
            figures=figures,
        )

    def probe(self, features: Tensor, targets: np.ndarray, *, seed: int) -> Ridge:
        half = len(features) // 2
        weight, bias = self.linear(features[:half], targets[:half], Ridge(0.0))
        outputs = features[half:] @ weight.T + bias
        return Ridge(self.score(outputs.numpy(), targets[half:]).loss)

    def linear(self, features: Tensor, targets: np.ndarray, probe: Ridge) -> tuple[Tensor, Tensor]:
        x, y = features.double(), torch.from_numpy(targets).double()
        centre, mean = x.mean(0), y.mean()
        gram = (x - centre).T @ (x - centre) + 1e-2 * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
        weight = torch.linalg.solve(gram, (x - centre).T @ (y - mean))
        return weight.float()[None], (mean - centre @ weight).float()[None]


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    mean, margin = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean - margin, mean, mean + margin


TASK = Regression
