"""Lines and tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from striate.core.words import printable

PIPE_WIDTH = 160
GAP = 2
"""Spaces between two columns."""


def open_console() -> Console:
    """A console on standard output; files and pipes get 160 columns instead of 80."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, width=width)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a sentence, wrapped at words on a terminal and unwrapped elsewhere."""
    lead = "\n" if text.startswith("\n") else ""
    console.print(f"{lead}{printable(text.removeprefix(lead))}", style=style, soft_wrap=not console.is_terminal)


def facts(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each, with the values aligned."""
    listed = list(rows)
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        console.print(f"{name:<{width}}  {printable(value)}", soft_wrap=True)


def tabulate(
    console: Console,
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> None:
    """Print a table. Numbers are never cut off or wrapped.

    Args:
        console: Console to print on.
        title: Title above the table; None for no title.
        columns: Column titles; a title can have several lines.
        rows: One cell per column.
        numbers: Indices of the right-aligned columns.
        spare: Indices of the columns to leave out if the table is too wide, the first one first. A line below the
            table names them.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    shown, hidden = _fitting(console.width, columns, cells, spare)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0))
    for position in shown:
        table.add_column(
            columns[position],
            justify="right" if position in numbers else "left",
            no_wrap=position in numbers,
            overflow="fold",
            min_width=_width(position, columns, cells) if position in numbers else None,
        )
    for row in cells:
        table.add_row(*(row[position] for position in shown))
    if title is not None:
        console.print(f"\n{title}", style="bold")
    console.print(table)
    if hidden:
        names = ", ".join(columns[position].replace("\n", " ") for position in hidden)
        say(console, f"Not shown in {console.width} columns: {names}.", style="dim")


def _width(position: int, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    title = max(cell_len(line) for line in columns[position].split("\n"))
    return max([title, *(cell_len(row[position]) for row in cells)])


def _fitting(
    width: int, columns: Sequence[str], cells: Sequence[Sequence[str]], spare: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Indices of the columns that fit and of those left out, each in the order of the table."""
    widths = [_width(position, columns, cells) + GAP for position in range(len(columns))]
    hidden: set[int] = set()
    for position in spare:
        if sum(widths[p] for p in range(len(columns)) if p not in hidden) <= width + GAP:
            break
        hidden.add(position)
    return [p for p in range(len(columns)) if p not in hidden], sorted(hidden)
