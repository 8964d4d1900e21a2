"""Numbers as people read them. The report and the command line say them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def percent(share: float | None) -> str:
    """A share from 0 to 1 as a percentage with one decimal; a dash for None.

    Example:
        >>> percent(0.9312)
        '93.1 %'
    """
    return "-" if share is None else f"{_tenths(share)} %"


def interval(ends: tuple[float, float]) -> str:
    """Two shares as a range of percentages.

    Example:
        >>> interval((0.902, 0.953))
        '90.2 to 95.3 %'
    """
    return f"{_tenths(ends[0])} to {_tenths(ends[1])} %"


def _tenths(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") if share in (0.0, 1.0) else f"{100 * share:.1f}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(134.2)
        '2 min 14 s'
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count(number: float) -> str:
    """A count with its thousands parted.

    Example:
        >>> count(10000)
        '10,000'
    """
    return f"{round(number):,}"


def short(number: float) -> str:
    """A large number with three digits and a word for its size.

    Example:
        >>> short(4_089_184_256)
        '4.09 billion'
    """
    return _scaled(number, ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))) or count(number)


def compact(number: float) -> str:
    """A large number with three digits and a letter for its size, for tables.

    Example:
        >>> compact(4_089_184_256)
        '4.09 G'
    """
    return _scaled(number, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))) or count(number)


def storage(size_bytes: float) -> str:
    """Bytes in the largest decimal unit that leaves at least 1.

    Example:
        >>> storage(14_200_000)
        '14.2 MB'
    """
    return _scaled(size_bytes, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))) or f"{round(size_bytes)} bytes"


def _scaled(number: float, units: Sequence[tuple[float, str]]) -> str:
    """Three digits and the first unit that leaves at least 1 when rounded; nothing where none does."""
    for size, unit in units:
        if number >= 0.9995 * size:
            part = number / size
            return f"{part:,.0f} {unit}" if part >= 99.95 else f"{part:.3g} {unit}"
    return ""


def plural(number: int, one: str, many: str | None = None) -> str:
    """A count and its noun.

    Example:
        >>> plural(2, "image"), plural(1, "class", "classes")
        ('2 images', '1 class')
    """
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def span(names: Sequence[str]) -> str:
    """Neighbours in a row, by the first and the last.

    Example:
        >>> span(("stem", "stage1", "stage2"))
        'stem to stage2'
    """
    return f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)


def brief(value: Any) -> str:
    """A fact of any kind in few letters.

    Example:
        >>> brief({"rate": 0.1, "places": (3, 4), "clip": None})
        'rate 0.1, places 3, 4, clip none'
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(brief, value))
    if isinstance(value, dict):
        return ", ".join(f"{k} {brief(v)}" for k, v in value.items())
    return "none" if value is None else str(value)


def sentence(text: str) -> str:
    """Text with a capital at its beginning and a full stop at its end; nothing stays nothing.

    Example:
        >>> sentence("downloads are off")
        'Downloads are off.'
    """
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def printable(text: str) -> str:
    r"""Text with every control and invisible formatting character written out, so that no file name steers a terminal.

    Example:
        >>> printable("cat" + chr(27) + "[2J.jpg")
        'cat\\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
