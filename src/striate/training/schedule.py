"""How the learning rate moves."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from striate.records.recipes import Schedule


def share(schedule: Schedule, step: int, steps: int, drops: int = 0) -> float:
    """The fraction of the peak learning rate at a step.

    Args:
        schedule: The kind of movement.
        step: Steps already taken, from 0 to ``steps - 1``.
        steps: Steps in all.
        drops: How often the learning rate has fallen because validation stopped improving (kind ``plateau``).

    Source:
        Warm-up: Goyal et al. 2017 (arXiv 1706.02677), section 2.2. ``cosine``: Loshchilov and Hutter 2016, SGDR (arXiv
        1608.03983), equation 5, one cycle. ``cosine_restarts``: Huang et al. 2017 (arXiv 1704.00109), equation 2.
        ``step`` and ``plateau``: He et al. 2015, sections 4.2 and 3.4. ``linear``: Smith 2017, Super-Convergence (arXiv
        1708.07120).
    """
    rise = round(schedule.warmup * steps)
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    match schedule.kind:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "cosine_restarts":
            ends = cycle_ends(schedule, steps)
            place = bisect_right(ends, step)
            first = ends[place - 1] if place else rise
            return 0.5 * (1 + math.cos(math.pi * (step - first) / (ends[place] - first)))
        case "linear":
            return 1 - (1 - schedule.end_factor) * done
        case "step":
            return math.prod(_factors(schedule, step, steps))
        case "plateau":
            return schedule.gamma**drops
        case "constant":
            return 1.0


def cycle_ends(schedule: Schedule, steps: int) -> tuple[int, ...]:
    """The steps after which a learning-rate cycle ends, ascending; empty unless kind is ``cosine_restarts``.

    A cycle takes a step at least, so that very few steps make fewer cycles.

    Example:
        >>> cycle_ends(Schedule(kind="cosine_restarts", cycles=3), 100)
        (33, 67, 100)
    """
    if schedule.kind != "cosine_restarts":
        return ()
    rise = round(schedule.warmup * steps)
    ends = {rise + round(k * (steps - rise) / schedule.cycles) for k in range(1, schedule.cycles + 1)}
    return tuple(sorted(ends - {rise}))


def _factors(schedule: Schedule, step: int, steps: int) -> list[float]:
    """The factor of the learning rate from the drops so far."""
    if schedule.step_size is not None:
        return [schedule.gamma] * int(step / (schedule.step_size * steps) + 1e-9)
    factors = schedule.gammas or [schedule.gamma] * len(schedule.milestones)
    return [factor for place, factor in zip(schedule.milestones, factors, strict=True) if step >= round(place * steps)]


def drops(schedule: Schedule, history: Sequence[float]) -> int:
    """How often the learning rate has fallen, from what validation gave after each epoch so far.

    Args:
        schedule: Its ``patience`` is the number of epochs without a new best before it falls.
        history: Accuracy after each epoch; more is better.

    Example:
        >>> drops(Schedule(kind="plateau", patience=2), [0.5, 0.6, 0.6, 0.59, 0.61, 0.6, 0.6])
        2
    """
    if schedule.kind != "plateau":
        return 0
    best, waited, fallen = -math.inf, 0, 0
    for value in history:
        best, waited = (value, 0) if value > best else (best, waited + 1)
        if waited == schedule.patience:
            fallen, waited = fallen + 1, 0
    return fallen
