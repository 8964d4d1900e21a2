"""Timing: medians of repeats after a warm-up, with a confidence interval."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
import torch

from striate.sizing.clock import median_interval, timed

CPU = torch.device("cpu")


def test_warm_up_does_not_count() -> None:
    durations = itertools.chain([50.0, 50.0], itertools.cycle([1.0, 3.0, 2.0]))
    now, runs = [0.0], []

    def work() -> None:
        runs.append(next(durations))
        now[0] += runs[-1]

    timing = timed(work, CPU, seconds=0.0, min_repeats=9, clock=lambda: now[0])
    assert len(runs) == 2 + 9
    assert timing.repeats == 9
    assert timing.median_s == 2.0
    assert (timing.low_s, timing.high_s) == (1.0, 3.0)


@pytest.mark.parametrize(("seconds", "repeats"), [(0.0, 7), (20.0, 20), (1e9, 100)])
def test_repeats_follow_the_time_limit_and_both_bounds(seconds: float, repeats: int) -> None:
    now = [0.0]

    def work() -> None:
        now[0] += 1.0

    assert timed(work, CPU, seconds=seconds, clock=lambda: now[0]).repeats == repeats


@pytest.mark.parametrize("n", [6, 9, 25, 60])
def test_interval_covers_the_median(n: int) -> None:
    """The coverage on 2000 samples of a skewed distribution with a known median is at least 95 %."""
    draw = random.Random(n)
    held = 0
    for _ in range(2000):
        low, high = median_interval([draw.expovariate(1.0) for _ in range(n)])
        held += low <= 0.6931 <= high
    assert held / 2000 > 0.94


def test_interval_narrows_with_more_samples() -> None:
    draw = random.Random(0)
    samples = [draw.gauss(0, 1) for _ in range(400)]
    wide, narrow = median_interval(samples[:20]), median_interval(samples)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert narrow[0] <= statistics.median(samples) <= narrow[1]
    assert median_interval([4.0]) == (4.0, 4.0)
