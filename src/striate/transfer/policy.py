"""Which candidates are tried, in which order, and which one wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from striate.core.preprocess import Preprocess
from striate.models.network import ImageModel
from striate.transfer.budget import Budget
from striate.transfer.candidates import STRATEGIES
from striate.transfer.candidates.base import Candidate, Result, skipped
from striate.transfer.context import TransferContext
from striate.transfer.probe import ProbeResult, probe_layers
from striate.transfer.watch import BudgetSpent, CandidateWatch


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

    def without_winner(self, reason: str) -> Choice:
        """The choice among the other candidates; the winner counts as skipped."""
        results = tuple(skipped(each.candidate, reason) if each is self.winner else each for each in self.results)
        best: Result | None = None
        for each in results:
            if not each.skipped and (best is None or better(each, best)):
                best = each
        assert best is not None, "a linear head is never skipped"
        return Choice(winner=best, results=results, probe=self.probe)


def choose(context: TransferContext, budget: Budget) -> Choice:
    """Try the strategies from the simplest to the costliest, and take the best candidate.

    The steps of a strategy end where one is skipped, or where one did not improve on the best so far and the next is
    not cheap.
    """
    probe = probe_layers(context, budget)
    strategies = [steps(context, probe) for steps in STRATEGIES]
    results: list[Result] = []
    best: Result | None = None
    for number, steps in enumerate(strategies):
        last: Result | None = None
        for place, candidate in enumerate(steps):
            estimate = candidate.estimate()
            if last is not None and last is not best and not budget.cheap(estimate):
                break
            ahead = [*steps[place + 1 :], *(each for later in strategies[number + 1 :] for each in later)]
            last = _tried(candidate, budget, ahead, first=not results)
            results.append(last)
            if last.skipped:
                break
            if best is None or better(last, best):
                best = last
    assert best is not None, "a linear head is never skipped"
    return Choice(winner=best, results=tuple(results), probe=probe)


def _tried(candidate: Candidate, budget: Budget, ahead: Sequence[Candidate], *, first: bool) -> Result:
    """Evaluate a candidate, unless the plan or the budget does not allow it; the first one always is."""
    estimate = candidate.estimate()
    reason = "" if first else budget.skip_reason(estimate, final=candidate.final_work)
    if reason:
        return skipped(candidate, reason)
    began = budget.clock()
    later = [each.estimate() for each in ahead]
    seconds = sum(budget.seconds(each) for each in later if not each.skip_reason)
    watch = CandidateWatch(
        candidate.context.progress,
        budget,
        candidate.title,
        seconds=budget.seconds(estimate),
        ahead_s=seconds,
        bounded=not first,
    )
    try:
        found = candidate.evaluate(watch)
    except BudgetSpent as spent:
        return skipped(candidate, str(spent))
    budget.learn(estimate, found.record.seconds)
    if first:
        budget.reserve("head", budget.clock() - began)  # the winner, if no other candidate ends in time
    return found


def build(choice: Choice, budget: Budget) -> tuple[Choice, ImageModel, Preprocess]:
    """Train the winner on all images that it may use.

    A winner that would end after the budget is skipped, and the next best candidate takes its place.

    Returns:
        The choice that was built, its network and its preprocessing.
    """
    while True:
        candidate = choice.winner.candidate
        seconds = budget.seconds(candidate.estimate())
        watch = CandidateWatch(candidate.context.progress, budget, candidate.title, seconds=seconds)
        try:
            return choice, *candidate.build(watch)
        except BudgetSpent as spent:
            choice = choice.without_winner(str(spent))


def better(challenger: Result, holder: Result) -> bool:
    """Whether a costlier candidate replaces a simpler one: it has a higher metric, or the same at a lower loss."""
    return (challenger.value, -challenger.loss) > (holder.value, -holder.loss)
