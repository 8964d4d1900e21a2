"""Lines and tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from striate.core.words import printable

PIPE_WIDTH = 160
WIDE = 10_000
"""Columns of a console whose reader asked for the whole table."""
GAP = 2
"""Spaces between two columns."""
LEGIBLE, LEAST = 32, 12
"""Cells to which a long name shrinks before a spare column is left out, and before another column wraps."""
ELLIPSIS = "…"


def open_console(*, wide: bool = False) -> Console:
    """A console on standard output; files and pipes get 160 columns instead of 80.

    Args:
        wide: Whether tables show all columns in full, whatever the width of the terminal.
    """
    width = WIDE if wide else None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
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
    paths: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> None:
    """Print a table in the width of the console; a table without rows is not printed.

    What does not fit gives way in this order: long paths lose their middle, spare columns are left out, text wraps.
    Numbers are never cut off or wrapped.

    Args:
        console: Console to print on.
        title: Title above the table; None for no title.
        columns: Column titles; a title can have several lines.
        rows: One cell per column.
        numbers: Indices of the right-aligned columns.
        paths: Indices of the columns of long names, such as files: an ellipsis replaces the middle of a name, unless
            two names would then look the same.
        spare: Indices of the columns to leave out if the table is too wide, the first one first. A line below the
            table names them.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not cells:
        return
    natural = [_width(position, columns, cells) for position in range(len(columns))]
    width = console.width
    shown = _shown(width, natural, paths, spare)
    widths = _fitted(width, {p: natural[p] for p in shown}, numbers, paths)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for position in shown:
        right = position in numbers
        table.add_column(
            columns[position],
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
            width=widths[position],
        )
    listed = {p: _names(console, [row[p] for row in cells], widths[p], path=p in paths) for p in shown}
    for number in range(len(cells)):
        table.add_row(*(listed[position][number] for position in shown))
    if title is not None:
        console.print(f"\n{title}", style="bold")
    console.width = max(width, _total(widths.values()) + GAP)  # Rich would shrink numbers, and crop what is too wide
    console.print(table)
    console.width = width
    if len(shown) < len(columns):
        names = ", ".join(columns[p].replace("\n", " ") for p in range(len(columns)) if p not in shown)
        say(console, f"Not shown in {width} columns: {names}. --wide shows all columns.", style="dim")


def shorten(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """A text in at most `width` cells of a terminal; an ellipsis replaces its middle, and most of its end stays.

    Example:
        >>> shorten("/home/anna/photos/2024/summer/IMG_0231.jpg", 24)
        '/home/a…mer/IMG_0231.jpg'
    """
    if cell_len(text) <= width:
        return text
    room = max(width - cell_len(ellipsis), 0)
    head = set_cell_size(text, room // 3).rstrip(" ")
    tail = ""
    for character in reversed(text):
        if cell_len(character + tail) > room - cell_len(head):
            break
        tail = character + tail
    return head + ellipsis + tail


def _names(console: Console, cells: Sequence[str], width: int, *, path: bool) -> Sequence[str]:
    """The cells of a column, shortened if they are paths that stay distinct."""
    if not path:
        return cells
    ellipsis = ELLIPSIS if console.encoding.lower().startswith("utf") else "..."
    short = [shorten(cell, width, ellipsis) for cell in cells]
    return short if len(set(short)) == len(set(cells)) else cells


def _width(position: int, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    title = max(cell_len(line) for line in columns[position].split("\n"))
    return max([title, *(cell_len(row[position]) for row in cells)])


def _total(widths: Iterable[int]) -> int:
    """The width of a table with columns of these widths."""
    listed = list(widths)
    return sum(listed) + GAP * (len(listed) - 1)


def _shown(width: int, natural: Sequence[int], paths: Sequence[int], spare: Sequence[int]) -> list[int]:
    """Indices of the columns that fit, in the order of the table."""
    hidden: set[int] = set()
    for position in spare:
        kept = (p for p in range(len(natural)) if p not in hidden)
        if _total(min(natural[p], LEGIBLE) if p in paths else natural[p] for p in kept) <= width:
            break
        hidden.add(position)
    return [p for p in range(len(natural)) if p not in hidden]


def _fitted(width: int, natural: Mapping[int, int], numbers: Sequence[int], paths: Sequence[int]) -> dict[int, int]:
    """The widths of the columns: paths shrink first, then other text; numbers stay whole."""
    widths = dict(natural)
    texts = [p for p in natural if p not in numbers and p not in paths]
    for elastic, least in (([p for p in paths if p in natural], LEAST), (texts, LEAST)):
        while _total(widths.values()) > width and (room := [p for p in elastic if widths[p] > least]):
            widths[max(room, key=lambda p: widths[p])] -= 1
    return widths
