"""Which candidates are tried, in which order, and which one wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from striate.transfer.budget import Budget
from striate.transfer.candidates import STRATEGIES
from striate.transfer.candidates.base import Result, skipped
from striate.transfer.context import TransferContext
from striate.transfer.probe import ProbeResult, probe_layers


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """The candidates that were tried, and the best one.

    Args:
        winner: The best on the validation images.
        results: All, in the order in which they were tried or skipped.
        probe: The probes of all layers.
    """

    winner: Result
    results: tuple[Result, ...]
    probe: ProbeResult


def choose(context: TransferContext, budget: Budget) -> Choice:
    """Try the strategies from the simplest to the costliest, and take the best candidate.

    The steps of a strategy end where one is skipped, or where one did not improve on the best so far and the next is
    not cheap.
    """
    probe = probe_layers(context)
    results: list[Result] = []
    best: Result | None = None
    for steps in STRATEGIES:
        last: Result | None = None
        for candidate in steps(context, probe):
            estimate = candidate.estimate()
            if last is not None and last is not best and not budget.cheap(estimate):
                break
            reason = budget.skip_reason(estimate) if results else ""  # the linear head is always tried
            last = skipped(candidate, reason) if reason else candidate.evaluate()
            results.append(last)
            if last.skipped:
                break
            budget.learn(estimate, last.record.seconds)
            if best is None or better(last, best):
                best = last
    assert best is not None, "a linear head is never skipped"
    return Choice(winner=best, results=tuple(results), probe=probe)


def better(challenger: Result, holder: Result) -> bool:
    """Whether a costlier candidate replaces a simpler one: it has a higher metric, or the same at a lower loss."""
    return (challenger.value, -challenger.loss) > (holder.value, -holder.loss)
