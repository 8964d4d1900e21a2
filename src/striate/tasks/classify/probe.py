"""How good each stage's features are: a regularised linear probe, its strength chosen by cross-validation.

The more alike the new images are to those of the pretraining, the deeper the best features lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.core.seed import generator
from striate.records.results import LayerProbe
from striate.tasks.classify.logistic import Linear, fit
from striate.tasks.classify.metrics import wilson

CS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5
MOST_FOR_CHOICE = 5000
"""Samples that strengths are chosen on; more of them change the choice little and cost much."""


@final
@dataclass(frozen=True, slots=True)
class Standardiser:
    """Every feature shifted and scaled to mean 0 and deviation 1 over the training images."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Standardiser:
        """From training features, ``[n, d]``. A feature that hardly varies keeps its scale."""
        mean, deviation = x.mean(0), x.std(0, correction=0)
        floor = 1e-3 * deviation.mean().clamp_min(1e-6)
        return cls(mean, deviation.clamp_min(floor))

    def __call__(self, x: Tensor) -> Tensor:
        """Standardise, ``[n, d]``."""
        return (x - self.mean) / self.deviation

    def undo(self, linear: Linear) -> Linear:
        """The classifier of raw features that does what `linear` does of standardised ones."""
        weight = linear.weight / self.deviation[:, None]
        return Linear(weight, linear.bias - self.mean @ weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What cross-validation said of one feature point.

    Args:
        C: The inverse regularisation with the least loss.
        loss: Mean negative log-likelihood over the left-out samples, in nats.
        correct: Left-out samples classified rightly.
        n: Left-out samples.
        log_probabilities: Of every left-out sample, ``[n, classes]``, in the order of `samples`.
        samples: Which samples took part.
    """

    C: float
    loss: float
    correct: int
    n: int
    log_probabilities: Tensor
    samples: np.ndarray


def fold_of(labels: np.ndarray, seed: int, folds: int = FOLDS) -> np.ndarray:
    """A fold for every sample, each class spread evenly over the folds, ``[n]``."""
    rng = generator(seed, "folds")
    result = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        result[members] = (start + np.arange(len(members))) % folds
        start += len(members)  # small classes do not all begin with fold 0
    return result


def cross_validate(x: Tensor, labels: np.ndarray, classes: int, *, seed: int) -> Choice:
    """Choose the strength of a probe.

    Strengths are tried from the strongest regularisation to the weakest, each fit beginning where the one before
    ended, until the loss has risen twice in a row.

    Args:
        x: Raw features, float32 ``[n, d]``.
        labels: int64 ``[n]``.
        classes: Number of classes.
        seed: Of the folds, and of the subset where there are more than `MOST_FOR_CHOICE`.
    """
    samples = np.arange(len(labels))
    if len(samples) > MOST_FOR_CHOICE:
        samples = np.sort(generator(seed, "probe subset").permutation(len(samples))[:MOST_FOR_CHOICE])
    chosen = labels[samples]
    folds = fold_of(chosen, seed, folds=max(2, min(FOLDS, int(np.bincount(chosen).max()))))
    scaled = Standardiser.of(x[samples])(x[samples])
    target = torch.from_numpy(chosen)
    share = torch.stack([torch.from_numpy(folds != f).float() for f in np.unique(folds)])
    left_out = torch.from_numpy(folds)
    best: Choice | None = None
    start, rises = None, 0
    for C in CS:
        start = fit(scaled, target, classes, C, share=share, start=start, tolerance=1e-3, iterations=60)
        log_p = torch.empty(len(samples), classes)
        for fold, w in enumerate(start):
            rows = left_out == fold
            log_p[rows] = F.log_softmax(scaled[rows] @ w[:-1] + w[-1], dim=1)
        loss = float(F.nll_loss(log_p, target))
        if best is None or loss < best.loss:
            correct = int((log_p.argmax(1) == target).sum())
            best = Choice(C=C, loss=loss, correct=correct, n=len(samples), log_probabilities=log_p, samples=samples)
            rises = 0
        else:
            rises += 1
            if rises == 2:
                break
    assert best is not None
    return best


def train_linear(x: Tensor, labels: np.ndarray, classes: int, C: float) -> Linear:
    """A linear classifier of raw features, fitted on all samples at a given strength.

    Args:
        x: Raw features, float32 ``[n, d]``.
        labels: int64 ``[n]``.
        classes: Number of classes.
        C: Inverse regularisation, as `cross_validate` chooses it.
    """
    scaler = Standardiser.of(x)
    w = fit(scaler(x), torch.from_numpy(labels), classes, C)[0]
    return scaler.undo(Linear(w[:-1], w[-1]))


def by_depth(
    features: Callable[[str], Tensor], layers: Sequence[str], labels: np.ndarray, classes: int, *, seed: int
) -> tuple[dict[str, Choice], tuple[LayerProbe, ...]]:
    """Probe every feature point.

    Args:
        features: From a point's name to the training images' raw features there, float32 ``[n, d]``.
        layers: Names, from the image upwards.
        labels: int64 ``[n]``.
        classes: Number of classes.
        seed: Of the folds.
    """
    choices: dict[str, Choice] = {}
    rows: list[LayerProbe] = []
    for layer in layers:
        x = features(layer)
        choice = choices[layer] = cross_validate(x, labels, classes, seed=seed)
        rows.append(
            LayerProbe(
                stage=layer,
                channels=x.shape[1],
                top1=choice.correct / choice.n,
                top1_interval=wilson(choice.correct, choice.n),
                loss=choice.loss,
                C=choice.C,
            )
        )
    return choices, tuple(rows)
