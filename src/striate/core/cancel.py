"""Cancelling a job from outside: the job stops at the next point where its files are whole and it can resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from striate.core.errors import JobCancelled
from striate.core.events import ProgressCallback


@final
class CancelToken:
    """Asks one job to stop. Any thread, and a signal handler, may call `cancel`.

    It needs no lock: it only ever changes from not requested to requested.
    """

    def __init__(self) -> None:
        self._requested = False
        self._held = 0

    @property
    def requested(self) -> bool:
        """Whether `cancel` was called."""
        return self._requested

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._requested = True

    def check(self) -> None:
        """Stop here when that was asked, unless a `held` block does the checking itself.

        Raises:
            JobCancelled: It was asked.
        """
        if self._requested and not self._held:
            raise JobCancelled("the job was cancelled")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this block `check` does nothing: the block reads `requested` and saves its state before it stops."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1


@final
class CancelPoints(ProgressCallback):
    """A progress callback that makes every phase and every step a point at which the job may stop.

    Args:
        progress: Receives everything.
        cancel: Asks the job to stop.
    """

    def __init__(self, progress: ProgressCallback, cancel: CancelToken) -> None:
        self._progress, self._cancel = progress, cancel

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Pass the phase on, or stop."""
        self._cancel.check()
        self._progress.phase(name, total, unit)

    def step(self, done: int) -> None:
        """Pass the step on, or stop."""
        self._cancel.check()
        self._progress.step(done)

    def note(self, message: str, **facts: Any) -> None:
        """Pass the note on."""
        self._progress.note(message, **facts)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Pass the event on."""
        self._progress.record(event, facts)
