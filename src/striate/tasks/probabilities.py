"""Probabilities of classes, by their logarithms, and their means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities, ``[n, classes]``, in float64. Ours, because importing `scipy.special` takes longer."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def log_mean(log_p: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """The logarithm of the weighted mean of probabilities.

    Args:
        log_p: Log-probabilities, ``[k, n, classes]``.
        weights: Of each of the k; they add up to 1.

    Returns:
        ``[n, classes]``.
    """
    return np.logaddexp.reduce(log_p + np.log(weights)[:, None, None], axis=0)


def log_mean_of_views(logits: np.ndarray, weights: Sequence[float], temperature: float) -> np.ndarray:
    """The log-probabilities of one network with test-time augmentation.

    Args:
        logits: ``[k, n, classes]`` for k copies of each image.
        weights: The weight of each copy; they add up to 1.
        temperature: What logits are divided by.
    """
    return log_mean(np.stack([log_softmax(each / temperature) for each in logits]), weights)
