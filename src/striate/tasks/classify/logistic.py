"""Regularised multinomial logistic regression: many folds at once, by L-BFGS.

The folds of a cross-validation share their features, so all of them are fitted together: one matrix product serves
every fold, and each fold keeps its own curvature, step length and stopping criterion. That is why it is ours:
scikit-learn fits one fold after another, which takes several times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

_MEMORY = 8  # pairs of steps and gradient changes kept by each problem


@final
@dataclass(frozen=True, slots=True)
class Linear:
    """A linear classifier: ``features @ weight + bias``.

    Args:
        weight: ``[features, classes]``.
        bias: ``[classes]``.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """``[n, features]`` to ``[n, classes]``."""
        return x @ self.weight + self.bias


def fit(
    x: Tensor,
    labels: Tensor,
    classes: int,
    C: float,
    *,
    share: Tensor | None = None,
    start: Tensor | None = None,
    tolerance: float = 2e-4,
    iterations: int = 200,
) -> Tensor:
    """Minimise, for each problem, the mean cross-entropy of its samples plus ``|W|^2 / (2 n strength)``.

    Args:
        x: Standardised features, float32 ``[n, d]``.
        labels: int64 ``[n]``.
        classes: Number of classes k.
        C: Inverse regularisation C, in scikit-learn's scale: the penalty is against the sum over samples.
        share: Weight of every sample in every problem, ``[problems, n]``; None is one problem with all samples.
        start: Where to begin, of the result's shape; None begins at 0.
        tolerance: A problem is done when its gradient's norm falls below this fraction of its norm at 0.
        iterations: The maximum number of iterations.

    Returns:
        ``[problems, d + 1, k]``, the last row the bias, which is not regularised.

    Source:
        Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5; step lengths by backtracking (3.1).
    """
    n, d = x.shape
    share = x.new_ones(1, n) if share is None else share
    problems = share.shape[0]
    counts = share.sum(1)
    target = F.one_hot(labels, classes).to(x.dtype)
    penalty = (1.0 / (counts * C)).view(problems, 1)

    def objective(w: Tensor) -> tuple[Tensor, Tensor]:
        flat = w[:, :d].permute(1, 0, 2).reshape(d, problems * classes)
        logits = (x @ flat).view(n, problems, classes) + w[:, d]
        log_p = F.log_softmax(logits, dim=2)
        per_sample = -(log_p * target[:, None]).sum(2)
        scaled = (share / counts[:, None]).t()
        value = (per_sample * scaled).sum(0) + 0.5 * penalty[:, 0] * w[:, :d].square().sum((1, 2))
        error = (log_p.exp_() - target[:, None]) * scaled[:, :, None]
        gradient = torch.empty_like(w)
        products = (x.t() @ error.reshape(n, problems * classes)).view(d, problems, classes)
        gradient[:, :d] = products.permute(1, 0, 2) + penalty[:, :, None] * w[:, :d]
        gradient[:, d] = error.sum(0)
        return value, gradient

    w = x.new_zeros(problems, d + 1, classes)
    norm_at_zero = objective(w)[1].flatten(1).norm(dim=1)
    if start is not None:
        w = start.clone()
    value, gradient = objective(w)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(iterations):
        active = gradient.flatten(1).norm(dim=1) > tolerance * norm_at_zero
        if not active.any():
            break
        direction = _direction(gradient.flatten(1), pairs)
        slope = (direction * gradient.flatten(1)).sum(1)
        lost = slope >= 0  # no descent: fall back to the gradient
        direction = torch.where(lost[:, None], -gradient.flatten(1), direction)
        slope = torch.where(lost, -gradient.flatten(1).square().sum(1), slope)
        length = torch.where(active, 1.0, 0.0).to(x.dtype)
        if not pairs:
            length = length / gradient.flatten(1).norm(dim=1).clamp_min(1.0)
        for _ in range(20):
            trial = w + (length[:, None] * direction).view_as(w)
            new_value, new_gradient = objective(trial)
            short = active & (new_value > value + 1e-4 * length * slope + 1e-7)
            if not short.any():
                break
            length = torch.where(short, length * 0.5, length)
        step, change = (trial - w).flatten(1), (new_gradient - gradient).flatten(1)
        product = (step * change).sum(1)
        pairs = [*pairs[-_MEMORY + 1 :], (step, change, torch.where(product > 1e-12, 1 / product, 0.0))]
        w, value, gradient = trial, new_value, new_gradient
    return w


def _direction(gradient: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion, each problem for itself; pairs without curvature have an inverse product of 0."""
    q = -gradient
    shares = []
    for step, change, inverse in reversed(pairs):
        a = inverse * (step * q).sum(1)
        q = q - a[:, None] * change
        shares.append(a)
    if pairs:
        step, change, inverse = pairs[-1]
        scale = (step * change).sum(1) / change.square().sum(1).clamp_min(1e-20)
        q = q * torch.where(inverse > 0, scale, 1.0)[:, None]
    for (step, change, inverse), a in zip(pairs, reversed(shares), strict=True):
        b = inverse * (change * q).sum(1)
        q = q + (a - b)[:, None] * step
    return q
