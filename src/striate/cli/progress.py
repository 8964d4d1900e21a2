"""Progress for people, on standard error: a bar on a terminal, plain lines elsewhere."""

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
    """A listener that also keeps where the run is written, for the line that an interrupted command ends with."""

    folder: str | None


@contextmanager
def following(stream: TextIO) -> Iterator[ProgressDisplay]:
    """The listener that suits `stream`, for as long as the work takes."""
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
    """A line a phase, and within a long phase a line every ten seconds.

    Args:
        stream: Where the lines go.
        clock: Seconds that only rise.
    """

    def __init__(self, stream: TextIO, clock: Any = time.monotonic) -> None:
        self.folder: str | None = None
        self._stream = stream
        self._clock = clock
        self._name, self._total, self._unit, self._epoch = "", None, "", ""
        self._spoke = clock()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Say what begins."""
        self._name, self._total, self._unit, self._epoch = name, total, unit, ""
        self._say(f"{name}: {_amount(total, unit)}" if total else name)

    def step(self, done: int) -> None:
        """Say how far it is, unless something was said just now."""
        if self._clock() - self._spoke < SECONDS_BETWEEN_LINES:
            return
        reached = f"{count(done)} of {_amount(self._total, self._unit)}" if self._total else _amount(done, self._unit)
        self._say(f"{self._name}: {reached}{self._epoch and f'; {self._epoch}'}")

    def note(self, message: str, **facts: Any) -> None:
        """Say it."""
        self._say(message)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Keep the folder of the run, and the figures of the last epoch; the rest is for the log file."""
        self.folder = _folder(event, facts) or self.folder
        self._epoch = _epoch(event, facts) or self._epoch

    def _say(self, text: str) -> None:
        self._spoke = self._clock()
        self._stream.write(printable(text) + "\n")
        self._stream.flush()


@final
class Bar:
    """One moving line a phase, with what remains of it; finished phases stay as plain lines above."""

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
        """Let the line of the last phase stay, and begin a new one."""
        self._finish()
        self._name, self._began = printable(name), time.monotonic()
        self._task = self._live.add_task(self._name, total=total, unit=f"{printable(unit)}s" if unit else "", epoch="")

    def step(self, done: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._live.update(self._task, completed=done)

    def note(self, message: str, **facts: Any) -> None:
        """Print above the bar."""
        self._console.print(printable(message))

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Keep the folder of the run, and show the figures of the last epoch; the rest is for the log file."""
        self.folder = _folder(event, facts) or self.folder
        if self._task is not None and (epoch := _epoch(event, facts)):
            self._live.update(self._task, epoch=epoch)

    def close(self) -> None:
        """Take the bar away."""
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
    """The figures of an epoch in words; nothing for other events."""
    if event != "epoch":
        return ""
    right = f", {percent(facts['top1'])} right on validation" if "top1" in facts else ""
    return f"epoch {facts['epoch']:.0f}: loss {facts['loss']:.3g}{right}"


def _folder(event: str, facts: Mapping[str, Any]) -> str | None:
    """The folder that a job announces with its event ``run``."""
    return str(facts["folder"]) if event == "run" and "folder" in facts else None
