"""Timing of work on this machine: warm-up, repeats, and the median with its confidence interval."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Timing:
    """Time of one run, in seconds.

    Args:
        median_s: Median of the repeats.
        low_s: Lower end of the 95 % confidence interval of the median.
        high_s: Upper end of the interval.
        repeats: Number of timed runs, without the warm-up.
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
    min_repeats: int = 7,
    max_repeats: int = 100,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Run `work` repeatedly and measure the time of one run.

    Two warm-up runs come first. Timing stops when `seconds` have passed, but never before `min_repeats` or after
    `max_repeats` runs.

    Args:
        work: The function to time.
        device: The device that it runs on. Each run waits until the device is idle.
        seconds: Total time, in seconds, after which no further run starts.
        min_repeats: Minimum number of timed runs.
        max_repeats: Maximum number of timed runs.
        clock: A monotonic clock, in seconds.
    """
    for _ in range(2):  # the first runs choose kernels and fill caches
        work()
    wait(device)
    took: list[float] = []
    began = clock()
    while len(took) < min_repeats or (len(took) < max_repeats and clock() - began < seconds):
        start = clock()
        work()
        wait(device)
        took.append(clock() - start)
    low, high = median_interval(took)
    return Timing(statistics.median(took), low, high, len(took))


def wait(device: torch.device) -> None:
    """Wait until all work queued on a device is done. A CPU has no queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Confidence interval of the median (95 %), without an assumption about the distribution.

    Args:
        samples: The measurements, ``[n]``, in any order.

    Returns:
        Two of the samples. With five samples or fewer, the interval is the whole range.

    Source:
        Conover 1999, Practical Nonparametric Statistics, section 3.2: the number of samples below the median follows a
        binomial distribution.

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
