"""How long work tells what it is doing: one listener, handed in from above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final


class ProgressCallback(Protocol):
    """Hears of progress. A bar on the command line, a log file, silence in tests."""

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """A new piece of work begins; `total` steps of `unit` (a noun in the singular) when that is known."""

    def step(self, done: int) -> None:
        """So many steps of the current phase are done, in all."""

    def note(self, message: str, **facts: Any) -> None:
        """Something a person should read; `facts` are its numbers."""

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Something a program should keep: an epoch's figures, a candidate's outcome."""


class NoProgress:
    """Hears everything and says nothing; a base for listeners that hear of little."""

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Ignore the beginning of a phase."""

    def step(self, done: int) -> None:
        """Ignore progress."""

    def note(self, message: str, **facts: Any) -> None:
        """Ignore a note."""

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Ignore a record."""


@final
class ProgressCallbacks:
    """Passes everything on to several listeners."""

    def __init__(self, *callbacks: ProgressCallback) -> None:
        self._callbacks = callbacks

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Pass the beginning of a phase on."""
        for each in self._callbacks:
            each.phase(name, total, unit)

    def step(self, done: int) -> None:
        """Pass progress on."""
        for each in self._callbacks:
            each.step(done)

    def note(self, message: str, **facts: Any) -> None:
        """Pass a note on."""
        for each in self._callbacks:
            each.note(message, **facts)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Pass a record on."""
        for each in self._callbacks:
            each.record(event, facts)
