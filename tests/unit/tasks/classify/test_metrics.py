"""Metrics agree with scikit-learn and scipy; calibration recovers a known temperature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as peer

from striate.tasks.classify import metrics
from striate.tasks.intervals import wilson
from striate.tasks.probabilities import log_softmax

NAMES = ("a", "b", "c", "d", "e", "f")


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 400)
    logits = rng.normal(size=(400, 6)) + 1.5 * np.eye(6)[labels]
    return logits, labels


def test_metrics_agree_with_scikit_learn(case) -> None:
    logits, labels = case
    score = metrics.score(logits, labels, NAMES)
    guess = logits.argmax(1)
    assert score.top1 == pytest.approx(peer.accuracy_score(labels, guess))
    assert score.top5 == pytest.approx(peer.top_k_accuracy_score(labels, logits, k=5))
    assert score.balanced_accuracy == pytest.approx(peer.balanced_accuracy_score(labels, guess))
    assert score.macro_f1 == pytest.approx(peer.f1_score(labels, guess, average="macro"))
    assert score.loss == pytest.approx(peer.log_loss(labels, np.exp(log_softmax(logits))))
    assert (np.array(score.confusion) == peer.confusion_matrix(labels, guess)).all()
    precision, recall, f1, n = peer.precision_recall_fscore_support(labels, guess)
    for i, row in enumerate(score.per_class):
        assert (row.precision, row.recall, row.f1, row.n) == pytest.approx((precision[i], recall[i], f1[i], n[i]))


def test_a_class_without_images_is_left_out_of_means(case) -> None:
    logits, labels = case
    labels = np.where(labels == 5, 0, labels)
    logits[:, 5] = -50
    score = metrics.score(logits, labels, NAMES)
    assert score.per_class[5].recall is None
    assert score.balanced_accuracy == pytest.approx(peer.balanced_accuracy_score(labels, logits.argmax(1)))


def test_temperature_scaling_finds_the_temperature_that_was_applied(case) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20000, 4)) * 2
    p = np.exp(log_softmax(logits))
    labels = (p.cumsum(1) > rng.random((20000, 1))).argmax(1)
    assert metrics.fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.05)
    assert metrics.score(logits * 3, labels, NAMES[:4]).ece > 0.1
    assert metrics.score(logits * 3, labels, NAMES[:4], temperature=3).ece < 0.02


def test_images_that_are_all_correct_keep_the_temperature_near_one() -> None:
    assert metrics.fit_temperature(np.array([[9.0, 0], [0, 9.0]]), np.array([0, 1])) > 0.9


def test_wilson_interval_agrees_with_scipy() -> None:
    for correct, n in ((0, 10), (5, 10), (397, 400), (7, 7)):
        found = binomtest(correct, n).proportion_ci(method="wilson")
        assert wilson(correct, n) == pytest.approx((found.low, found.high), abs=1e-7)


def test_wilson_interval_agrees_with_published_values() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
