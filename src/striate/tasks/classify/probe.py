"""A linear probe: regularised logistic regression on frozen features, with `C` chosen by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.core.seed import generator
from striate.data.folds import fold_of
from striate.records.results import LayerProbe
from striate.tasks.classify.logistic import Linear, fit
from striate.tasks.intervals import wilson

CS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5
MAX_SAMPLES = 5000
"""`C` is chosen on at most this many samples; more of them change the choice little and cost much."""


@final
@dataclass(frozen=True, slots=True)
class Standardiser:
    """Shifts and scales every feature to mean 0 and standard deviation 1 over the training images."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Standardiser:
        """From training features, ``[n, d]``. A nearly constant feature keeps its scale."""
        mean, deviation = x.mean(0), x.std(0, correction=0)
        floor = 1e-3 * deviation.mean().clamp_min(1e-6)
        return cls(mean, deviation.clamp_min(floor))

    def __call__(self, x: Tensor) -> Tensor:
        """Standardise, ``[n, d]``."""
        return (x - self.mean) / self.deviation

    def undo(self, linear: Linear) -> Linear:
        """The classifier of raw features that equals `linear` on standardised features."""
        weight = linear.weight / self.deviation[:, None]
        return Linear(weight, linear.bias - self.mean @ weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The result of a cross-validation on the features of one layer.

    Args:
        C: The inverse regularisation strength with the lowest loss.
        loss: Mean negative log-likelihood over the held-out samples, in nats.
        correct: Number of held-out samples that were classified correctly.
        n: Number of held-out samples.
    """

    C: float
    loss: float
    correct: int
    n: int

    def row(self, layer: str, channels: int) -> LayerProbe:
        """What the record says about the probe of `layer`."""
        top1, ends = self.correct / self.n, wilson(self.correct, self.n)
        return LayerProbe(stage=layer, channels=channels, top1=top1, top1_interval=ends, loss=self.loss, C=self.C)


def cross_validate(x: Tensor, labels: np.ndarray, classes: int, *, seed: int) -> Choice:
    """Choose `C` of a probe.

    Values are tried from the strongest regularisation to the weakest. Each fit starts from the one before, and the
    search ends when the loss has risen twice in a row.

    Args:
        x: Raw features, float32 ``[n, d]``.
        labels: int64 ``[n]``.
        classes: Number of classes.
        seed: Random seed of the folds, and of the subset if there are more samples than `MAX_SAMPLES`.
    """
    samples = np.arange(len(labels))
    if len(samples) > MAX_SAMPLES:
        samples = np.sort(generator(seed, "probe subset").permutation(len(samples))[:MAX_SAMPLES])
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
            best = Choice(C=C, loss=loss, correct=correct, n=len(samples))
            rises = 0
        else:
            rises += 1
            if rises == 2:
                break
    assert best is not None
    return best


def train_linear(x: Tensor, labels: np.ndarray, classes: int, C: float) -> Linear:
    """Fit a linear classifier of raw features on all samples.

    Args:
        x: Raw features, float32 ``[n, d]``.
        labels: int64 ``[n]``.
        classes: Number of classes.
        C: Inverse regularisation strength, as `cross_validate` chooses it.
    """
    scaler = Standardiser.of(x)
    w = fit(scaler(x), torch.from_numpy(labels), classes, C)[0]
    return scaler.undo(Linear(w[:-1], w[-1]))
