"""How long a piece of work takes on this machine: warmed up, repeated, the median with its interval."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one piece of work.

    Args:
        median_s: The middle of the repeats.
        low_s: Lower end of the median's 95 % interval.
        high_s: Upper end.
        repeats: How often it ran, warm-up left out.
    """

    median_s: float
    low_s: float
    high_s: float
    repeats: int


def timed(
    work: Callable[[], object],
    device: torch.device,
    *,
    seconds: float = 1.0,
    least: int = 7,
    most: int = 100,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Run `work` again and again, and say how long one run takes.

    Args:
        work: What to time.
        device: Where it runs; what was started there is waited for.
        seconds: After so long no further repeat begins.
        least: Repeats that are made in any case.
        most: Repeats that suffice in any case.
        clock: Seconds that only rise.
    """
    for _ in range(2):  # the first runs choose kernels and fill caches
        work()
    wait(device)
    took: list[float] = []
    began = clock()
    while len(took) < least or (len(took) < most and clock() - began < seconds):
        start = clock()
        work()
        wait(device)
        took.append(clock() - start)
    low, high = median_interval(took)
    return Timing(statistics.median(took), low, high, len(took))


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given; a processor has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Between which of the samples the median lies with 95 % confidence, whatever their distribution.

    With five samples or fewer that is all that can be said: between the least and the greatest.

    Source:
        Conover 1999, Practical Nonparametric Statistics, section 3.2: how many samples lie below the
        median is binomial.

    Example:
        >>> median_interval([1, 2, 3, 4, 5, 6, 7, 8, 9])
        (2, 8)
    """
    ordered, n = sorted(samples), len(samples)
    outside, tail = 0, 0.5**n
    while tail + math.comb(n, outside + 1) * 0.5**n <= 0.025:
        outside += 1
        tail += math.comb(n, outside) * 0.5**n
    return ordered[outside], ordered[n - 1 - outside]
