"""One command from its start to its exit code: errors in two lines, interrupts in one, progress on standard error."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer

from striate.cli.progress import ProgressDisplay, following
from striate.core.errors import StriateError
from striate.core.words import printable

INTERRUPTED = 130


def say_error(error: StriateError) -> None:
    """Print what went wrong, and what can be done, on standard error."""
    typer.echo(f"error: {printable(error.message)}", err=True)
    if error.hint:
        typer.echo(f"hint: {printable(error.hint)}", err=True)


@contextmanager
def command(*, debug: bool, again: Callable[[str | None], str] | None = None) -> Iterator[ProgressDisplay]:
    """Run a command's work, and turn how it ends into the promised exit code.

    Args:
        debug: Whether an error keeps its traceback, and the library's log is shown.
        again: How an interrupted run is gone on with, given the folder of the run as far as it is known; None for work
            that leaves nothing behind.

    Yields:
        The listener to hand to the job.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    folder: str | None = None
    try:
        with _terminating_as_interrupt(), following(sys.stderr) as progress:
            try:
                yield progress
            finally:
                folder = progress.folder
    except StriateError as error:
        if debug:
            raise
        say_error(error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo(f"interrupted; {again(folder)}" if again else "interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from error


@contextmanager
def _terminating_as_interrupt() -> Iterator[None]:
    """SIGTERM is taken as Ctrl-C is, so that a scheduler's stop leaves the same sound folder and the same line."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def print_json(value: Any) -> None:
    """Print the one JSON document of ``--json``."""
    from striate.records.io import dumps

    sys.stdout.write(dumps(value))
    sys.stdout.flush()
