"""Metrics of a classifier and the calibration of its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.records.results import Bin, ClassScore, Score
from striate.tasks.intervals import wilson
from striate.tasks.probabilities import log_softmax

BINS = 15
PRIOR_DEVIATION = 0.25
"""Standard deviation of the prior on the logarithm of the temperature."""


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood in nats of the labels."""
    return float(-log_softmax(logits / temperature)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature between 0.05 and 20 with the highest posterior probability, to three digits.

    The prior (normal on the logarithm, mean 0, standard deviation 0.25) keeps a few images, or images that are all
    classified correctly, from making the model overconfident. Hundreds of images outweigh it.

    Args:
        logits: ``[n, classes]``.
        labels: int64 ``[n]``.

    Source:
        Guo et al. 2017, On Calibration of Modern Neural Networks (arXiv 1706.04599), section 4.2.
    """
    if len(labels) == 0:
        return 1.0

    def cost(log_t: float) -> float:
        return (
            len(labels) * negative_log_likelihood(logits, labels, float(np.exp(log_t)))
            + 0.5 * (log_t / PRIOR_DEVIATION) ** 2
        )

    from scipy.optimize import minimize_scalar  # only fitting needs it, and its import takes a moment

    bounds = (float(np.log(0.05)), float(np.log(20.0)))
    found: Any = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> tuple[tuple[Bin, ...], float]:
    """The non-empty bins of a reliability diagram, of equal width, and the expected calibration error.

    Args:
        confidence: Probability of the predicted class, ``[n]``.
        correct: Whether it is the label, ``[n]``.
        bins: Number of bins from 0 to 1.

    Source:
        Guo et al. 2017, equation 3.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for number in np.unique(place):
        members = place == number
        mean, right, count = float(confidence[members].mean()), float(correct[members].mean()), int(members.sum())
        rows.append(Bin(confidence=mean, accuracy=right, n=count))
        error += count / len(confidence) * abs(mean - right)
    return tuple(rows), error


def score(logits: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, temperature: float = 1.0) -> Score:
    """All metrics of a classifier on labelled images.

    Args:
        logits: float ``[n, classes]``, n at least 1.
        labels: int64 ``[n]``.
        classes: Names in the order of the outputs.
        temperature: Temperature by which the logits are divided.
    """
    count, wide = logits.shape
    log_p = log_softmax(logits / temperature)
    prediction = log_p.argmax(axis=1)
    right = prediction == labels
    likelier = (log_p > log_p[np.arange(count), labels][:, None]).sum(axis=1)
    confusion = np.zeros((wide, wide), dtype=np.int64)
    np.add.at(confusion, (labels, prediction), 1)
    rows = [_class_score(name, confusion, i) for i, name in enumerate(classes)]
    present = [row for row in rows if row.n]
    bins, ece = reliability(np.exp(log_p.max(axis=1)), right)
    return Score(
        n=count,
        top1=float(right.mean()),
        top1_interval=wilson(int(right.sum()), count),
        top5=float((likelier < 5).mean()),
        loss=float(-log_p[np.arange(count), labels].mean()),
        ece=ece,
        balanced_accuracy=float(np.mean([row.recall or 0.0 for row in present])),
        macro_f1=float(np.mean([row.f1 or 0.0 for row in present])),
        temperature=temperature,
        per_class=tuple(rows),
        confusion=tuple(tuple(int(v) for v in row) for row in confusion),
        reliability=bins,
    )


def _class_score(label: str, confusion: np.ndarray, i: int) -> ClassScore:
    hit, n, named = int(confusion[i, i]), int(confusion[i].sum()), int(confusion[:, i].sum())
    precision, recall = (hit / named if named else None), (hit / n if n else None)
    f1 = 2 * hit / (n + named) if n + named else None
    return ClassScore(label=label, precision=precision, recall=recall, f1=f1, n=n)
