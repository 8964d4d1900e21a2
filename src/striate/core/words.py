"""Numbers and values formatted for people. Every message, table and report formats them with these functions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FORMULA = re.compile(r"\s*'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four: East Asian keyboards
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def percent(fraction: float | None) -> str:
    """Format a fraction as a percentage with one decimal.

    Args:
        fraction: From 0 to 1; None becomes a dash.

    Example:
        >>> percent(0.9312)
        '93.1 %'
    """
    return "-" if fraction is None else f"{_tenths(fraction)} %"


def interval(ends: tuple[float, float]) -> str:
    """Format two fractions as a range of percentages.

    Args:
        ends: The lower and the upper end, each from 0 to 1.

    Example:
        >>> interval((0.902, 0.953))
        '90.2 to 95.3 %'
    """
    return f"{_tenths(ends[0])} to {_tenths(ends[1])} %"


def _tenths(fraction: float) -> str:
    """A percentage with one decimal; only exactly 0 and exactly 1 are whole numbers."""
    return f"{100 * fraction:.0f}" if fraction in (0.0, 1.0) else f"{100 * fraction:.1f}"


def count(number: float) -> str:
    """Format a count with a comma between thousands.

    Example:
        >>> count(10000)
        '10,000'
    """
    return f"{round(number):,}"


def short(number: float) -> str:
    """Format a large number with three digits and a word such as million.

    Example:
        >>> short(4_089_184_256)
        '4.09 billion'
    """
    return _scaled(number, ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))) or count(number)


def compact(number: float) -> str:
    """Format a large number with three digits and a metric prefix, for tables.

    Example:
        >>> compact(4_089_184_256)
        '4.09 G'
    """
    return _scaled(number, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))) or count(number)


def storage(size_bytes: float) -> str:
    """Format a size in bytes with three digits and a decimal unit.

    Example:
        >>> storage(14_200_000)
        '14.2 MB'
    """
    return _scaled(size_bytes, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))) or f"{round(size_bytes)} bytes"


def _scaled(number: float, units: Sequence[tuple[float, str]]) -> str:
    """Three digits and the largest unit that leaves at least 1 after rounding; an empty string if there is none."""
    for size, unit in units:
        if number >= 0.9995 * size:
            part = number / size
            return f"{part:,.0f} {unit}" if part >= 99.95 else f"{part:.3g} {unit}"
    return ""


def plural(number: int, one: str, many: str | None = None) -> str:
    """Format a count and its noun.

    Args:
        number: The count.
        one: The noun in the singular.
        many: The noun in the plural; None appends an s to `one`.

    Example:
        >>> plural(2, "image"), plural(1, "class", "classes")
        ('2 images', '1 class')
    """
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def span(names: Sequence[str]) -> str:
    """Format consecutive names as a range.

    Example:
        >>> span(("stem", "stage1", "stage2"))
        'stem to stage2'
    """
    return f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)


def brief(value: Any) -> str:
    """Format a setting of any type on one line.

    Example:
        >>> brief({"lr": 0.1, "milestones": (3, 4), "clip": None})
        'lr 0.1, milestones 3, 4, clip none'
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(brief, value))
    if isinstance(value, dict):
        return ", ".join(f"{k} {brief(v)}" for k, v in value.items())
    return "none" if value is None else str(value)


def sentence(text: str) -> str:
    """Capitalise the first letter and add a full stop if there is none; an empty text stays empty.

    A first word that is an identifier or a file name, such as ``resnet50`` or ``cat.jpg``, keeps its first letter.

    Example:
        >>> sentence("downloads are off"), sentence("resnet50 is not available")
        ('Downloads are off.', 'resnet50 is not available.')
    """
    text = text.strip()
    if not text:
        return ""
    first = text.split(maxsplit=1)[0].rstrip(".,:;!?").replace("-", "").replace("'", "")
    start = text[0].upper() if first.isalpha() else text[0]
    return start + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def command_line(*words: str | Path) -> str:
    """Format a command that the reader can copy into a shell: words with spaces or other special characters are quoted.

    Example:
        >>> command_line("striate", "predict", Path("my runs/1"), "IMAGE")
        "striate predict 'my runs/1' IMAGE"
    """
    return shlex.join(
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words
    )


def printable(text: str) -> str:
    r"""Escape control characters and invisible formatting characters, so that no file name can control a terminal.

    Example:
        >>> printable("cat" + chr(27) + "[2J.jpg")
        'cat\\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def csv_cell(text: str) -> str:
    """A text as a cell of a CSV file that no spreadsheet runs: an apostrophe precedes it if it begins like a formula.

    Formulas begin with ``=``, ``+``, ``-``, ``@``, a tab or a line end. Plain numbers stay as they are. A text that
    begins with apostrophes before one of these gets one more, so removing one gives every text back.

    Example:
        >>> csv_cell("=1+1"), csv_cell("-3"), csv_cell("rose")
        ("'=1+1", '-3', 'rose')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
