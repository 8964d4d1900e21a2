"""Confidence intervals of fractions and of their differences."""

from __future__ import annotations

import numpy as np

from striate.records.results import Difference


def wilson(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % confidence interval of a fraction. Ours, because importing `scipy.stats` takes longer than a prediction.

    Args:
        correct: Number of successes.
        n: Number of trials.
        z: Normal quantile; the default is that of 95 %.

    Source:
        Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference; recommended by Brown, Cai and
        DasGupta 2001, Interval Estimation for a Binomial Proportion.

    Example:
        >>> [round(x, 3) for x in wilson(97, 100)]
        [0.915, 0.99]
    """
    if n == 0:
        return (0.0, 1.0)
    share, square = correct / n, z * z / n
    middle = (share + square / 2) / (1 + square)
    reach = z / (1 + square) * float(np.sqrt(share * (1 - share) / n + square / (4 * n)))
    return (max(0.0, middle - reach), min(1.0, middle + reach))


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """The difference in accuracy of two classifiers on the same images. Ours, because scipy has no such interval.

    Args:
        ours: Which images the first classifier classifies correctly, bool ``[n]``, n at least 1.
        theirs: The same for the second.

    Source:
        Newcombe 1998, Improved Confidence Intervals for the Difference between Binomial Proportions Based on Paired
        Data, method 10: the Wilson intervals of both, joined by their correlation.

    Example:
        >>> a, b = np.arange(100) < 80, np.arange(100) < 70  # b is correct where a is, except on ten
        >>> found = paired_difference(a, b)
        >>> round(found.top1, 2), [round(x, 3) for x in found.interval]
        (0.1, [0.038, 0.165])
    """
    n = len(ours)
    one, other = int(ours.sum()), int(theirs.sum())
    both = int((ours & theirs).sum())
    cross = both * (n - one - other + both) - (one - both) * (other - both)
    spread = float(np.sqrt(float(one) * (n - one) * other * (n - other)))
    link = (max(cross - n / 2, 0.0) if cross > 0 else cross) / spread if spread else 0.0
    (low, high), (low_other, high_other) = wilson(one, n), wilson(other, n)
    below, above = one / n - low, high - one / n
    below_other, above_other = other / n - low_other, high_other - other / n
    difference = (one - other) / n
    down = np.sqrt(below**2 - 2 * link * below * above_other + above_other**2)
    up = np.sqrt(above**2 - 2 * link * above * below_other + below_other**2)
    return Difference(top1=difference, interval=(difference - float(down), difference + float(up)))
