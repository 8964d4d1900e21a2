"""The frame of every command: exit codes, error messages, interrupts, and progress on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, final

import typer

from striate.cli.progress import ProgressDisplay, following
from striate.cli.signals import cancelled_by_signals, interrupted_by_signals
from striate.core.errors import JobCancelled, StriateError
from striate.core.processes import launched
from striate.core.words import printable

if TYPE_CHECKING:
    from striate.jobs.job import Verb

P = TypeVar("P")
R = TypeVar("R")
INTERRUPTED = 130


def say_error(error: StriateError) -> None:
    """Print an error and its hint on standard error."""
    lines = error.message.split("\n  ")  # of a list; any other line end is a file's, and not shown as one
    typer.echo("error: " + "\n  ".join(map(printable, lines)), err=True)
    if error.hint:
        typer.echo(f"hint: {printable(error.hint)}", err=True)


@final
class Session:
    """A running command.

    Args:
        progress: The progress display.
        resumable: Whether a job leaves a run behind that resumes. Its first Ctrl-C then cancels it, and it stops where
            its state is saved; a second one interrupts it at once, as the first does with other jobs.
    """

    def __init__(self, progress: ProgressDisplay, *, resumable: bool) -> None:
        self.progress = progress
        self._resumable = resumable

    def run(self, verb: Verb[P, R], plan: P) -> R:
        """Carry out a plan as a job that Ctrl-C and SIGTERM stop.

        Raises:
            JobCancelled: Ctrl-C or SIGTERM stopped the job.
            StriateError: As the verb raises.
        """
        from striate.jobs.job import Job

        job = Job(verb, plan, progress=self.progress)
        if not self._resumable:
            return job.run()
        with cancelled_by_signals(job.cancel, patient=launched() > 1):
            return job.run()


@contextmanager
def command(*, debug: bool, again: Callable[[str | None], str] | None = None) -> Iterator[Session]:
    """Run a command's work and exit with the documented code.

    Args:
        debug: Whether to show tracebacks and log messages.
        again: Returns how to resume an interrupted run, given the run folder or None if it is not known yet; None for
            commands without a run folder.

    Yields:
        The session, which runs the command's job.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    folder: str | None = None
    try:
        with interrupted_by_signals(), following(sys.stderr) as progress:
            try:
                yield Session(progress, resumable=again is not None)
            finally:
                folder = progress.folder
    except (JobCancelled, KeyboardInterrupt) as error:
        typer.echo(f"interrupted; {again(folder)}" if again else "interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from error
    except StriateError as error:
        if debug:
            raise
        say_error(error)
        raise typer.Exit(1) from error


def print_json(value: Any) -> None:
    """Print the one JSON document of ``--json``."""
    from striate.records.io import dumps

    text = dumps(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has escapes of its own, which any encoding can write
        text = dumps(value, ascii_only=True)
    sys.stdout.write(text)
    sys.stdout.flush()
