"""How the learning rate moves."""

from __future__ import annotations

import math


def rise_and_fall(step: int, steps: int, warmup: float) -> float:
    """The share of the peak rate at a step: a straight rise, then half a cosine down to 0.

    Args:
        step: Steps already taken, from 0 to ``steps - 1``.
        steps: Steps in all.
        warmup: Share of the steps over which the rate rises.

    Source:
        Loshchilov and Hutter 2016, SGDR (arXiv 1608.03983), equation 5, one cycle; warm-up as in Goyal et al. 2017
        (arXiv 1706.02677), section 2.2.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
