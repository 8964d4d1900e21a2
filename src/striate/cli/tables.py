"""Results for people, on standard output: lines and tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from striate.core.words import printable

PIPE_WIDTH = 160


def open_console() -> Console:
    """Standard output; where it is no terminal, nothing is folded to 80 columns."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, width=width)


def say(console: Console, text: str, style: str | None = None) -> None:
    """A line for reading: folded at words on a terminal, left whole elsewhere."""
    lead = "\n" if text.startswith("\n") else ""
    console.print(f"{lead}{printable(text.removeprefix(lead))}", style=style, soft_wrap=not console.is_terminal)


def tabulate(
    console: Console,
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
) -> None:
    """Print a table.

    Args:
        console: Where.
        title: Above it; None has none.
        columns: Their heads.
        rows: A cell a column.
        numbers: Places of the columns that stand to the right.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if position in numbers else "left",
            no_wrap=position in (0, *numbers),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    if title is not None:
        console.print(f"\n{title}", style="bold")
    console.print(table)
