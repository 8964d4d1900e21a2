"""Classifiers joined by the mean of their probabilities, and the interval of a difference on the same images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from striate.core.errors import PlanError
from striate.data.transforms import ImageLike
from striate.tasks.ensemble import Ensemble, Predictor
from striate.tasks.intervals import paired_difference, wilson


class Sure(Predictor):
    """Says the same of every image."""

    def __init__(self, **said: float) -> None:
        super().__init__(tuple(said))
        self.said = np.array(list(said.values()))

    def log_probabilities(self, images: Sequence[ImageLike]) -> np.ndarray:
        return np.tile(np.log(self.said), (len(images), 1))

    def place(self, name: str) -> int | None:
        return self.classes.index(name) if name in self.classes else None


def test_ensembles_average_probabilities_with_classes_matched_by_name() -> None:
    both = Ensemble([Sure(cat=0.6, dog=0.3, owl=0.1), Sure(owl=0.5, cat=0.1, dog=0.4)])
    assert both.classes == ("cat", "dog", "owl")
    assert both.predict_proba([b"", b""]) == pytest.approx(np.tile([0.35, 0.35, 0.3], (2, 1)))
    assert both.place("owl") == 2
    three = Ensemble([both, Sure(cat=0.65, dog=0.25, owl=0.1)])  # an ensemble is a predictor like any other
    assert three.predict(b"", top=2) == [
        {"label": "cat", "probability": pytest.approx(0.5)},
        {"label": "dog", "probability": pytest.approx(0.3)},
    ]


def test_classes_are_the_same_in_either_form_of_accents() -> None:
    composed, decomposed = Sure(**{"oats": 0.6, "m\u00fcsli": 0.4}), Sure(**{"mu\u0308sli": 0.8, "oats": 0.2})
    assert Ensemble([composed, decomposed]).predict_proba([b""]) == pytest.approx(np.array([[0.4, 0.6]]))


def test_other_classes_are_refused() -> None:
    cats = Sure(cat=0.6, dog=0.4)
    with pytest.raises(PlanError, match=r"model 2 does not tell apart the 2 classes.*does not know 'dog'"):
        Ensemble([cats, Sure(cat=0.5, owl=0.5)])
    with pytest.raises(PlanError, match="it knows 3"):
        Ensemble([cats, Sure(cat=0.5, owl=0.25, dog=0.25)])
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


def test_a_paired_difference_turns_with_its_pair() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random(200) < 0.8, rng.random(200) < 0.7
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.top1 == pytest.approx(one.mean() - other.mean())
    assert back.top1 == pytest.approx(-there.top1)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))


def test_no_difference_and_no_error_at_all() -> None:
    right = np.ones(50, dtype=bool)
    same = paired_difference(right, right)
    assert same.top1 == 0.0
    assert same.interval == pytest.approx((wilson(50, 50)[0] - 1, 1 - wilson(50, 50)[0]))
    half = np.arange(400) < 200
    low, high = paired_difference(half, half).interval
    assert -0.01 < low <= 0 <= high < 0.01  # what agrees on every image is hardly apart


def test_the_paired_interval_covers_what_it_says() -> None:
    """95 of 100 hold the true difference, which is 3 points, of classifiers that err on much the same images."""
    rng, n, repeats = np.random.default_rng(1), 300, 1500
    chances = [0.84, 0.05, 0.02, 0.09]  # both right, one, the other, neither
    drawn = rng.choice(4, (repeats, n), p=chances)
    inside = alone = 0
    for row in drawn:
        low, high = paired_difference((row == 0) | (row == 1), (row == 0) | (row == 2)).interval
        inside += low <= 0.03 <= high
        alone += high - low
    assert 0.94 <= inside / repeats <= 0.98
    assert alone / repeats < 0.07  # intervals of independent samples would be 0.10 wide
