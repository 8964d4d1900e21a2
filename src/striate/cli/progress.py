"""Progress on standard error: a bar on a terminal, plain lines elsewhere.

Both show the phase, the time since the command began, and how long the rest takes: of the whole run if the job
estimates it, else of the phase.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO, final

from striate.core.durations import format_duration
from striate.core.events import ProgressCallback
from striate.core.words import count, percent, plural, printable

SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_FIRST_LINE = 3.0
STARTING = "starting"
"""What is shown until the job reports its first phase: Python is loading libraries."""


class ProgressDisplay(ProgressCallback, Protocol):
    """A progress callback that also remembers the run folder, for the message of an interrupted command."""

    folder: str | None


@contextmanager
def following(stream: TextIO) -> Iterator[ProgressDisplay]:
    """Yield a bar if `stream` is a terminal, else plain lines."""
    if not stream.isatty():
        lines = Lines(stream)
        with lines.ticking():
            yield lines
        return
    bar = Bar()
    try:
        yield bar
    finally:
        bar.close()


@final
class Status:
    """What is known of the work: the phase, its steps, and how long the rest takes.

    Args:
        clock: A monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._left: tuple[float, float] | None = None
        self.start(STARTING, None, "")

    def start(self, name: str, total: int | None, unit: str) -> None:
        """Begin a phase."""
        self.name, self.total, self.unit = printable(name), total or None, printable(unit)
        self.done, self.epoch = 0, ""
        self._first: tuple[float, int] | None = None
        self.phase_began = self._clock()

    def step(self, done: int) -> None:
        """Remember the progress of the phase."""
        self.done = done
        if self._first is None:
            self._first = self._clock(), done

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Remember the metrics of the last epoch, and the estimate of the whole run."""
        self.epoch = _epoch(event, facts) or self.epoch
        if event == "remaining":
            self._left = self._clock(), float(facts["seconds_left"])

    @property
    def amount(self) -> str:
        """The steps that are done: ``120 of 400 steps``; empty before the first one."""
        if not self.done:
            return ""
        return (
            f"{count(self.done)} of {_amount(self.total, self.unit)}" if self.total else _amount(self.done, self.unit)
        )

    @property
    def elapsed(self) -> str:
        """The time since the command began."""
        return f"{_coarse(self._clock() - self._began)} elapsed"

    @property
    def left(self) -> str:
        """An estimate of the rest; empty while there is none."""
        now = self._clock()
        if self._left is not None:
            whole = self._left[1] - (now - self._left[0])
            return f"at most {_coarse(whole)} left in all" if whole >= 1 else ""
        if self.total is None or self._first is None or self.done <= self._first[1] or now == self._first[0]:
            return ""
        each = (now - self._first[0]) / (self.done - self._first[1])
        return f"{_coarse(each * (self.total - self.done))} left in this phase"

    @property
    def times(self) -> str:
        """Elapsed time and the rest."""
        return ", ".join(filter(None, [self.elapsed, self.left]))


@final
class Lines:
    """One line per phase, and one more for every ten seconds of a long phase.

    Args:
        stream: Stream to write to.
        clock: A monotonic clock in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder: str | None = None
        self._stream = stream
        self._clock = clock
        self._status = Status(clock)
        self._spoke, self._wait = clock(), SECONDS_TO_FIRST_LINE
        self._lock = threading.RLock()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Within this block a thread prints a line when nothing was printed for too long."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(1.0):
                self.tick()

        thread = threading.Thread(target=tick, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Print the name of the phase that starts."""
        with self._lock:
            self._status.start(name, total, unit)
            self._say(f"{name}: {_amount(total, unit)}" if total else name)

    def step(self, done: int) -> None:
        """Print the progress, unless a line was printed in the last ten seconds."""
        with self._lock:
            self._status.step(done)
            self.tick()

    def tick(self) -> None:
        """Print the progress, unless a line was printed a short time ago."""
        with self._lock:
            if self._clock() - self._spoke < self._wait:
                return
            status = self._status
            steps = ": ".join(filter(None, [status.name, status.amount]))
            self._say("; ".join(filter(None, [steps, status.epoch, status.times])))

    def note(self, message: str, **facts: Any) -> None:
        """Print the message."""
        self._say(message)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Remember the run folder, the metrics of the last epoch and the estimate of the whole run."""
        self.folder = _folder(event, facts) or self.folder
        self._status.record(event, facts)

    def _say(self, text: str) -> None:
        """Print a line."""
        with self._lock:
            self._spoke, self._wait = self._clock(), SECONDS_BETWEEN_LINES
            self._stream.write(printable(text) + "\n")
            self._stream.flush()


@final
class Bar:
    """A progress bar for the current phase, and a line of times; finished phases stay above it as plain lines."""

    NARROW = 110
    """Columns of a terminal below which the bar is short."""

    def __init__(self) -> None:
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.text import Text

        from striate.cli.tables import shorten

        self._shorten = shorten
        self.folder: str | None = None
        self._status = status = Status(time.monotonic)
        self._console = console = Console(file=sys.stderr, markup=False, highlight=False)
        length = 12 if console.width < self.NARROW else 30

        class TwoLines(Progress):
            """The time moves on while no step is reported."""

            def get_renderables(self) -> Iterator[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                times = "; ".join(filter(None, [status.times, status.epoch]))
                yield Text(f"  {shorten(times, max(console.width - 3, 1))}", style="dim", no_wrap=True)

        self._room = max(console.width - length - 4, 1)
        self._live = TwoLines(
            SpinnerColumn(),
            BarColumn(bar_width=length),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._live.add_task(STARTING, total=None)
        self._live.start()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Print the finished phase as a plain line and start a new bar."""
        self._finish()
        self._status.start(name, total, unit)
        self._task = self._live.add_task(self._described(), total=total or None)

    def step(self, done: int) -> None:
        """Move the bar."""
        self._status.step(done)
        self._live.update(self._task, completed=done, description=self._described())

    def note(self, message: str, **facts: Any) -> None:
        """Print the message above the bar."""
        self._console.print(printable(message))

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Remember the run folder, the metrics of the last epoch and the estimate of the whole run."""
        self.folder = _folder(event, facts) or self.folder
        self._status.record(event, facts)

    def close(self) -> None:
        """Remove the bar."""
        self._finish()
        self._live.stop()

    def _described(self) -> str:
        """The phase and its steps in the width of the terminal; the steps stay whole."""
        steps = self._status.amount
        room = self._room - (len(steps) + 2 if steps else 0)
        return ": ".join(filter(None, [self._shorten(self._status.name, max(room, 8)), steps]))

    def _finish(self) -> None:
        if self._task not in self._live.task_ids:
            return
        self._live.remove_task(self._task)
        status = self._status
        if status.name != STARTING:
            took = format_duration(time.monotonic() - status.phase_began)
            self._console.print(f"{status.name} ({took})", style="dim")


def _amount(number: int, unit: str) -> str:
    return plural(number, unit) if unit else count(number)


def _coarse(seconds: float) -> str:
    """A duration in whole seconds, for figures that change while one looks at them."""
    return format_duration(seconds) if seconds >= 10 else f"{seconds:.0f} s"


def _epoch(event: str, facts: Mapping[str, Any]) -> str:
    """The metrics of an epoch as text; empty for other events."""
    if event != "epoch":
        return ""
    accuracy = f", validation accuracy {percent(facts['top1'])}" if "top1" in facts else ""
    return f"epoch {facts['epoch']:.0f}: loss {facts['loss']:.3g}{accuracy}"


def _folder(event: str, facts: Mapping[str, Any]) -> str | None:
    """The run folder in a job's ``run`` event; None for other events."""
    return str(facts["folder"]) if event == "run" and "folder" in facts else None
