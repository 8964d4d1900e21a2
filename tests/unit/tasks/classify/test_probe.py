"""The solver agrees with scikit-learn's; the probe finds what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from striate.data.folds import fold_of
from striate.tasks.classify import probe
from striate.tasks.classify.logistic import fit


def problem(n: int = 240, d: int = 40, k: int = 4, noise: float = 2.0) -> tuple[torch.Tensor, np.ndarray]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=g)
    logits = x @ torch.randn(d, k, generator=g) + noise * torch.randn(n, k, generator=g)
    return x, logits.argmax(1).numpy()


def objective(x: torch.Tensor, labels: np.ndarray, w: torch.Tensor, C: float) -> float:
    loss = F.cross_entropy(x @ w[:-1] + w[-1], torch.from_numpy(labels), reduction="sum")
    return float(C * loss + 0.5 * w[:-1].square().sum())


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 100.0])
def test_the_minimum_is_scikit_learns(C) -> None:
    x, labels = problem()
    ours = fit(x, torch.from_numpy(labels), 4, C, tolerance=1e-5, iterations=1000)[0]
    peer = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(x.numpy(), labels)
    theirs = torch.tensor(np.vstack([peer.coef_.T, peer.intercept_])).float()
    low = objective(x, labels, theirs, C)
    assert objective(x, labels, ours, C) <= low * (1 + 2e-4)


def test_problems_fitted_together_equal_those_fitted_alone() -> None:
    x, labels = problem()
    share = torch.ones(3, len(x))
    for fold in range(3):
        share[fold, fold::3] = 0
    together = fit(x, torch.from_numpy(labels), 4, 0.05, share=share, tolerance=1e-5)
    for fold in range(3):
        kept = share[fold].bool()
        alone = fit(x[kept], torch.from_numpy(labels[kept.numpy()]), 4, 0.05, tolerance=1e-5)[0]
        torch.testing.assert_close(together[fold], alone, atol=5e-3, rtol=0)


def test_undoing_the_standardiser_gives_the_same_logits() -> None:
    x, labels = problem()
    x = x * torch.linspace(0.1, 30, 40) + 5
    linear = probe.train_linear(x, labels, 4, 0.1)
    assert (linear.logits(x).argmax(1).numpy() == labels).mean() > 0.8


def test_folds_are_stratified_and_repeat() -> None:
    labels = np.repeat([0, 1, 2], [25, 50, 7])
    folds = fold_of(labels, seed=1, folds=5)
    assert (folds == fold_of(labels, seed=1, folds=5)).all()
    for label, each in ((0, 5), (1, 10)):
        assert (np.bincount(folds[labels == label]) == each).all()


def test_the_better_features_win() -> None:
    x, labels = problem(noise=0.5)
    noise = torch.randn(len(x), 40, generator=torch.Generator().manual_seed(9))
    poor, good = (probe.cross_validate(each, labels, 4, seed=0) for each in (0.1 * x + noise, x))
    assert good.loss < poor.loss
    row = good.row("stage2", 40)
    assert row.top1 > 0.75 > poor.row("stage1", 40).top1
    low, high = row.top1_interval
    assert low < row.top1 < high


def test_a_class_with_one_image_does_not_break_the_choice() -> None:
    x, labels = problem()
    labels[:] = np.where(np.arange(len(labels)) == 0, 3, labels % 3)
    assert np.isfinite(probe.cross_validate(x, labels, 4, seed=0).loss)
