"""Progress callbacks: long-running work reports progress to the object that the caller passes as `progress`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final


class ProgressCallback(Protocol):
    """Receives progress: a progress bar, a log file, or nothing (`NoProgress`)."""

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Start a phase of the work.

        Args:
            name: The phase, such as ``extracting features``.
            total: Number of steps; None if it is not known.
            unit: What a step is, as a noun in the singular, such as ``image``; empty if steps have no name.
        """

    def step(self, done: int) -> None:
        """Update the progress of the current phase.

        Args:
            done: Steps done since the phase started.
        """

    def note(self, message: str, **facts: Any) -> None:
        """Show a message to the user.

        Args:
            message: One sentence.
            **facts: The numbers of the message, for programs.
        """

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Log a machine-readable event, such as the metrics of an epoch or the result of a candidate.

        Args:
            event: The type of the event, such as ``epoch``.
            facts: Its fields, as JSON values.
        """


class NoProgress:
    """A callback that does nothing. Subclass it to handle only some of the methods."""

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Do nothing."""

    def step(self, done: int) -> None:
        """Do nothing."""

    def note(self, message: str, **facts: Any) -> None:
        """Do nothing."""

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Do nothing."""


@final
class ProgressCallbacks:
    """Forwards every call to several callbacks, in order.

    Args:
        *callbacks: The callbacks.
    """

    def __init__(self, *callbacks: ProgressCallback) -> None:
        self._callbacks = callbacks

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Forward the start of a phase."""
        for each in self._callbacks:
            each.phase(name, total, unit)

    def step(self, done: int) -> None:
        """Forward the progress of a phase."""
        for each in self._callbacks:
            each.step(done)

    def note(self, message: str, **facts: Any) -> None:
        """Forward a message."""
        for each in self._callbacks:
            each.note(message, **facts)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Forward an event."""
        for each in self._callbacks:
            each.record(event, facts)
