"""A job: a plan that is being carried out, which can be watched and cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, final

from striate.core.cancel import CancelToken
from striate.core.events import NoProgress, ProgressCallback

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
P = TypeVar("P")
R = TypeVar("R")


class Verb(Protocol[P_contra, R_co]):
    """What every module of `jobs` offers as ``run``: a plan in, a record out."""

    def __call__(self, plan: P_contra, *, progress: ProgressCallback, cancel: CancelToken) -> R_co:
        """Carry out `plan`.

        Args:
            plan: What is asked.
            progress: Receives phases, steps, notes and events.
            cancel: Asks the job to stop where it can resume.

        Raises:
            JobCancelled: `cancel` asked to stop.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a job reported.

    Args:
        at_s: Seconds since the job was made.
        kind: Which method of the progress callback was called.
        name: Name of the phase or event; text of the note; empty for a step.
        facts: Its numbers: ``total`` and ``unit`` of a phase, ``done`` of a step, the facts of a note or an event.
    """

    at_s: float
    kind: Literal["phase", "step", "note", "record"]
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@final
class Job(Generic[P, R]):
    """A plan being carried out, in the calling thread (`run`) or in a thread of its own (`start`).

    Jobs share nothing: several can run in one process at once, and each can be cancelled by itself.

    Args:
        verb: What carries the plan out, such as `striate.jobs.fit.run`.
        plan: What is asked.
        progress: Receives what the job reports, in the job's thread; None for nobody. `events` keeps it too.

    Example:
        >>> from striate.jobs import fit
        >>> job = Job(fit.run, plan).start()  # doctest: +SKIP
        >>> job.cancel()  # doctest: +SKIP
    """

    def __init__(self, verb: Verb[P, R], plan: P, *, progress: ProgressCallback | None = None) -> None:
        self.plan = plan
        self._verb = verb
        self._token = CancelToken()
        self._events = _Events(progress or NoProgress())
        self._future: Future[R] = Future()

    @property
    def events(self) -> tuple[Event, ...]:
        """What the job reported so far, oldest first. Of the steps of a phase only the last is kept."""
        return tuple(self._events.kept)

    @property
    def done(self) -> bool:
        """Whether the job has ended, with a result or an error."""
        return self._future.done()

    def run(self) -> R:
        """Carry the plan out in this thread, and return its record. A job runs once.

        Raises:
            JobCancelled: It was cancelled.
            StriateError: As the verb raises.
        """
        self._begin()
        self._carry_out()
        return self._future.result()

    def start(self) -> Self:
        """Begin to carry the plan out in a thread of its own. A job runs once."""
        self._begin()
        threading.Thread(target=self._carry_out, name=f"striate-{type(self.plan).__name__}").start()
        return self

    def result(self, timeout: float | None = None) -> R:
        """Wait for the record.

        Args:
            timeout: Seconds to wait at most; None waits until the job ends.

        Raises:
            TimeoutError: The job is still at work.
            JobCancelled: It was cancelled.
            StriateError: As the verb raises.
        """
        return self._future.result(timeout)

    def cancel(self) -> None:
        """Ask the job to stop where the same plan can resume it; `result` then raises JobCancelled."""
        self._token.cancel()

    def _begin(self) -> None:
        if self._future.running() or self._future.done():
            raise RuntimeError("a job runs once; make another for the same plan")
        self._future.set_running_or_notify_cancel()

    def _carry_out(self) -> None:
        try:
            record = self._verb(self.plan, progress=self._events, cancel=self._token)
        except BaseException as error:  # `result` raises it, KeyboardInterrupt included
            self._future.set_exception(error)
        else:
            self._future.set_result(record)


@final
class _Events(ProgressCallback):
    """Keeps what is reported, and passes it on."""

    def __init__(self, progress: ProgressCallback) -> None:
        self.kept: list[Event] = []
        self._progress = progress
        self._began = time.monotonic()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Keep and pass on the beginning of a phase."""
        self._keep("phase", name, {"total": total, "unit": unit})
        self._progress.phase(name, total, unit)

    def step(self, done: int) -> None:
        """Keep and pass on a step; it replaces the step before."""
        if self.kept and self.kept[-1].kind == "step":
            self.kept.pop()
        self._keep("step", "", {"done": done})
        self._progress.step(done)

    def note(self, message: str, **facts: Any) -> None:
        """Keep and pass on a note."""
        self._keep("note", message, facts)
        self._progress.note(message, **facts)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Keep and pass on an event."""
        self._keep("record", event, facts)
        self._progress.record(event, facts)

    def _keep(self, kind: Literal["phase", "step", "note", "record"], name: str, facts: Mapping[str, Any]) -> None:
        self.kept.append(Event(at_s=time.monotonic() - self._began, kind=kind, name=name, facts=facts))
