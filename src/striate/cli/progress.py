"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO, final

from striate.core.events import ProgressCallback
from striate.core.words import count, percent, plural, printable

SECONDS_BETWEEN_LINES = 10.0


class ProgressDisplay(ProgressCallback, Protocol):
    """A progress callback that also remembers the run folder, for the message of an interrupted command."""

    folder: str | None


@contextmanager
def following(stream: TextIO) -> Iterator[ProgressDisplay]:
    """Yield a bar if `stream` is a terminal, else plain lines."""
    if not stream.isatty():
        yield Lines(stream)
        return
    bar = Bar()
    try:
        yield bar
    finally:
        bar.close()


@final
class Lines:
    """One line per phase, and one more for every ten seconds of a long phase.

    Args:
        stream: Stream to write to.
        clock: A monotonic clock in seconds.
    """

    def __init__(self, stream: TextIO, clock: Any = time.monotonic) -> None:
        self.folder: str | None = None
        self._stream = stream
        self._clock = clock
        self._name, self._total, self._unit, self._epoch = "", None, "", ""
        self._spoke = clock()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Print the name of the phase that starts."""
        self._name, self._total, self._unit, self._epoch = name, total, unit, ""
        self._say(f"{name}: {_amount(total, unit)}" if total else name)

    def step(self, done: int) -> None:
        """Print the progress, unless a line was printed in the last ten seconds."""
        if self._clock() - self._spoke < SECONDS_BETWEEN_LINES:
            return
        reached = f"{count(done)} of {_amount(self._total, self._unit)}" if self._total else _amount(done, self._unit)
        self._say(f"{self._name}: {reached}{self._epoch and f'; {self._epoch}'}")

    def note(self, message: str, **facts: Any) -> None:
        """Print the message."""
        self._say(message)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Remember the run folder and the metrics of the last epoch."""
        self.folder = _folder(event, facts) or self.folder
        self._epoch = _epoch(event, facts) or self._epoch

    def _say(self, text: str) -> None:
        self._spoke = self._clock()
        self._stream.write(printable(text) + "\n")
        self._stream.flush()


@final
class Bar:
    """A progress bar for the current phase; finished phases stay above it as plain lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        self.folder: str | None = None
        self._console = Console(file=sys.stderr, markup=False, highlight=False)
        self._live = Live(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[epoch]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task: Any = None
        self._name, self._began = "", time.monotonic()
        self._live.start()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Print the finished phase as a plain line and start a new bar."""
        self._finish()
        self._name, self._began = printable(name), time.monotonic()
        self._task = self._live.add_task(self._name, total=total, unit=f"{printable(unit)}s" if unit else "", epoch="")

    def step(self, done: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._live.update(self._task, completed=done)

    def note(self, message: str, **facts: Any) -> None:
        """Print the message above the bar."""
        self._console.print(printable(message))

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Remember the run folder and show the metrics of the last epoch."""
        self.folder = _folder(event, facts) or self.folder
        if self._task is not None and (epoch := _epoch(event, facts)):
            self._live.update(self._task, epoch=epoch)

    def close(self) -> None:
        """Remove the bar."""
        self._finish()
        self._live.stop()

    def _finish(self) -> None:
        if self._task is None:
            return
        self._live.remove_task(self._task)
        self._task = None
        self._console.print(f"{self._name} ({time.monotonic() - self._began:.1f} s)", style="dim")


def _amount(number: int, unit: str) -> str:
    return plural(number, unit) if unit else count(number)


def _epoch(event: str, facts: Mapping[str, Any]) -> str:
    """The metrics of an epoch as text; empty for other events."""
    if event != "epoch":
        return ""
    accuracy = f", validation accuracy {percent(facts['top1'])}" if "top1" in facts else ""
    return f"epoch {facts['epoch']:.0f}: loss {facts['loss']:.3g}{accuracy}"


def _folder(event: str, facts: Mapping[str, Any]) -> str | None:
    """The run folder in a job's ``run`` event; None for other events."""
    return str(facts["folder"]) if event == "run" and "folder" in facts else None
