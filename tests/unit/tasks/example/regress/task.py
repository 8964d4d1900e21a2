"""Regression of one number per image, read from the column ``target``: an example of a task in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Ridge regression on the features of one layer, and how well it predicts held-out samples."""

    penalty: float
    loss: float = 0.0
    r2: float = 0.0
    r2_interval: tuple[float, float] = (0.0, 0.0)
    stage: str = ""
    channels: int = 0

    def row(self, layer: str, channels: int) -> Ridge:
        return replace(self, stage=layer, channels=channels)


class MeanSquaredError(nn.Module):
    """Outputs ``[n, 1]`` and targets ``[n]`` to a scalar."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs[:, 0], targets)


@dataclass(frozen=True, slots=True)
class Regression(Task):
    """One number per image."""

    name: ClassVar[str] = "regress"
    metric: ClassVar[str] = "r2"
    metric_title: ClassVar[str] = "r2"
    column: ClassVar[str] = "target"
    score_type: ClassVar[type] = RegressionScore
    probe_type: ClassVar[type] = Ridge
    outputs: ClassVar[int] = 1  # pyright: ignore[reportIncompatibleMethodOverride]

    @classmethod
    def read(cls, index: ImageIndex) -> tuple[Regression, np.ndarray]:
        return cls(), cls().targets(index)

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
        mae, title = f"{score.mae:.3f}", "mean absolute error"
        evidence = f"The 95 % confidence interval is {score.mae_interval}, from {plural(score.n, 'test image')}."
        figures = ((title.capitalize(), mae), ("R2", f"{score.r2:.3f}"))
        return Summary(figure=mae, title=title, headline=f"{title}: {mae}", evidence=evidence, figures=figures)

    def probe(self, features: Tensor, targets: np.ndarray, *, seed: int) -> Ridge:
        fold, found = np.arange(len(targets)) % 4, list[Ridge]()
        for penalty in (1e-3, 1e-2, 1e-1, 1.0):
            ridge, outputs = Ridge(penalty=penalty), np.empty((len(targets), 1))
            for each in range(4):
                weight, bias = self.linear(features[fold != each], targets[fold != each], ridge)
                outputs[fold == each] = features[fold == each] @ weight.T + bias
            score = self.score(outputs, targets)
            found.append(replace(ridge, loss=score.loss, r2=score.r2, r2_interval=score.r2_interval))
        return min(found, key=lambda ridge: ridge.loss)

    def linear(self, features: Tensor, targets: np.ndarray, probe: Ridge) -> tuple[Tensor, Tensor]:
        x, y = features.double(), torch.from_numpy(targets).double()
        centre, mean = x.mean(0), y.mean()
        gram = (x - centre).T @ (x - centre) + probe.penalty * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
        weight = torch.linalg.solve(gram, (x - centre).T @ (y - mean))
        return weight.float()[None], (mean - centre @ weight).float()[None]


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    mean, margin = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean - margin, mean, mean + margin


TASK = Regression
