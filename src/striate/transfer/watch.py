"""Progress of the steps of a run: which candidate and fold is at work, how long the rest takes, and whether it fits.

Every number of steps is fixed by the plan. A watch reads the clock only to report, and, if the user set a time limit,
to drop a candidate as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from striate.core.durations import format_duration
from striate.core.events import ProgressCallback
from striate.training.loop import PHASE
from striate.transfer.budget import Budget

SETTLED_S = 1.0
"""A pace is trusted after this many seconds of a phase."""
REPORT_EVERY_S = 15.0


class BudgetSpent(Exception):  # noqa: N818 - nothing went wrong
    """A candidate was stopped, because it would have ended after the budget. The message is the skip reason."""


@final
class _Phase:
    """The pace of the current phase."""

    def __init__(self, name: str, total: int | None, now: float) -> None:
        self.name, self.total, self.began = name, total, now
        self._first: tuple[float, int] | None = None
        self.done = 0
        self.pace: float | None = None

    def step(self, done: int, now: float) -> None:
        """Measure the seconds per step, once they are settled."""
        self.done = done
        if self._first is None:
            self._first = now, done
            return
        at, first = self._first
        if done > first and now - at >= SETTLED_S:
            self.pace = (now - at) / (done - first)

    @property
    def left(self) -> float:
        """Seconds until its last step; 0 while unknown."""
        return 0.0 if self.pace is None or self.total is None else self.pace * max(0, self.total - self.done)


@final
class CandidateWatch(ProgressCallback):
    """Reports the progress of one candidate, and stops it if it would end after the budget.

    Args:
        progress: Receives everything, with the candidate and the fold in front of each phase.
        budget: The time that is left.
        title: The candidate.
        seconds: Estimated seconds of evaluating it.
        ahead_s: Estimated seconds of the candidates after it.
        bounded: Whether it may be stopped; the linear head, which always has to be there, may not.
    """

    def __init__(
        self,
        progress: ProgressCallback,
        budget: Budget,
        title: str,
        *,
        seconds: float = 0.0,
        ahead_s: float = 0.0,
        bounded: bool = True,
    ) -> None:
        self._progress, self._budget, self._title = progress, budget, title
        self._pace, self._ahead_s, self._bounded = seconds, ahead_s, bounded
        self._work, self._trainings, self._fraction = 1.0, 1, 1.0
        self._overhead: list[float] = []
        self._label, self._trained_s = "", 0.0
        self._phase = _Phase("", None, budget.clock())
        self._reported = float("-inf")

    def expect(self, *, work: float, trainings: int) -> None:
        """Say what is ahead of this candidate.

        Args:
            work: Its work, in units of the estimated seconds of its evaluation.
            trainings: Number of trainings.
        """
        self._work, self._trainings = work, trainings

    @contextmanager
    def training(self, label: str, fraction: float) -> Iterator[None]:
        """One training of the candidate, with the steps around it.

        Args:
            label: Such as ``fold 2 of 4``; empty if there is only one.
            fraction: Its part of the work.

        Raises:
            BudgetSpent: The candidate would end after the budget.
        """
        began, self._trained_s = self._budget.clock(), 0.0
        self._label, self._fraction = label, fraction
        yield
        self._end_phase()
        self._work -= fraction
        self._trainings -= 1
        self._overhead.append(max(0.0, self._budget.clock() - began - self._trained_s))
        self._phase = _Phase("", None, self._budget.clock())

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Pass the phase on, with the candidate and the fold."""
        self._end_phase()
        self._phase = _Phase(name, total, self._budget.clock())
        self._progress.phase(f"{', '.join(filter(None, [self._title, self._label]))}: {name}", total, unit)
        self._report()

    def step(self, done: int) -> None:
        """Pass the step on, or stop the candidate.

        Raises:
            BudgetSpent: The candidate would end after the budget.
        """
        self._progress.step(done)
        phase, now = self._phase, self._budget.clock()
        phase.step(done, now)
        if phase.pace is None:
            return
        if phase.name == PHASE and phase.total:
            self._pace = phase.pace * phase.total / self._fraction
        needed, left = self.seconds_left, self._budget.left
        if self._bounded and needed > left:
            raise BudgetSpent(
                f"stopped in {phase.name}, because it needs about {format_duration(needed)} more of the budget's "
                f"remaining {format_duration(max(0.0, left))}"
            )
        if now - self._reported > REPORT_EVERY_S:
            self._report()

    def note(self, message: str, **facts: Any) -> None:
        """Pass the note on."""
        self._progress.note(message, **facts)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Pass the event on."""
        self._progress.record(event, facts)

    @property
    def seconds_left(self) -> float:
        """Estimated seconds until the candidate is evaluated and, if it wins, trained on all images."""
        phase, overhead = self._phase, 0.0
        if self._overhead:
            overhead = sum(self._overhead) / len(self._overhead) * max(0, self._trainings - 1)
        if phase.name == PHASE and phase.total:
            return overhead + self._pace * max(0.0, self._work - self._fraction * phase.done / phase.total)
        done = self._fraction if self._trained_s else 0.0
        return overhead + phase.left + self._pace * max(0.0, self._work - done)

    def _end_phase(self) -> None:
        if self._phase.name == PHASE:
            self._trained_s += self._budget.clock() - self._phase.began

    def _report(self) -> None:
        self._reported = self._budget.clock()
        most = self.seconds_left + self._ahead_s + self._budget.closing
        if self._budget.budget_s is not None:
            most = min(most, max(0.0, self._budget.budget_s - self._budget.elapsed))
        self._progress.record("remaining", {"seconds_left": round(most, 1)})


@final
class StartWatch(ProgressCallback):
    """Watches the steps that no run can do without, and says at once if the budget is too short for them.

    Args:
        progress: Receives everything.
        budget: The time that the user allows.
        image_s: Estimated seconds of extracting the features of one image.
        after_s: Estimated seconds of what must follow.
    """

    def __init__(self, progress: ProgressCallback, budget: Budget, *, image_s: float, after_s: float) -> None:
        self._progress, self._budget = progress, budget
        self._image_s, self._after_s = image_s, after_s
        self._phase = _Phase("", None, budget.clock())

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Pass the phase on."""
        self._progress.phase(name, total, unit)
        self._phase = _Phase(name, total, self._budget.clock())
        self._budget.warn(self._progress, self._image_s * (total or 0) + self._after_s)

    def step(self, done: int) -> None:
        """Pass the step on."""
        self._progress.step(done)
        self._phase.step(done, self._budget.clock())
        if self._phase.pace is not None:
            self._budget.warn(self._progress, self._phase.left + self._after_s)

    def note(self, message: str, **facts: Any) -> None:
        """Pass the note on."""
        self._progress.note(message, **facts)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Pass the event on."""
        self._progress.record(event, facts)
