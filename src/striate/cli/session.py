"""The frame of every command: exit codes, error messages, interrupts, and progress on standard error."""

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
    """Print an error and its hint on standard error."""
    typer.echo(f"error: {printable(error.message)}", err=True)
    if error.hint:
        typer.echo(f"hint: {printable(error.hint)}", err=True)


@contextmanager
def command(*, debug: bool, again: Callable[[str | None], str] | None = None) -> Iterator[ProgressDisplay]:
    """Run a command's work and exit with the documented code.

    Args:
        debug: Whether to show tracebacks and log messages.
        again: Returns how to resume an interrupted run, given the run folder or None if it is not known yet; None for
            commands without a run folder.

    Yields:
        The progress callback to pass to the job.
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
