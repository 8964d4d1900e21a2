"""Numbers as people read them. The report and the command line say them alike."""

from __future__ import annotations

from collections.abc import Sequence


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
    if seconds < 10:
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
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return count(number)


def storage(size_bytes: float) -> str:
    """Bytes in the largest decimal unit that leaves at least 1.

    Example:
        >>> storage(14_200_000)
        '14.2 MB'
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= size:
            return f"{size_bytes / size:.3g} {unit}"
    return f"{round(size_bytes)} bytes"


def plural(number: int, one: str, many: str | None = None) -> str:
    """A count and its noun.

    Example:
        >>> plural(2, "picture"), plural(1, "class", "classes")
        ('2 pictures', '1 class')
    """
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def span(names: Sequence[str]) -> str:
    """Neighbours in a row, by the first and the last.

    Example:
        >>> span(("stem", "stage1", "stage2"))
        'stem to stage2'
    """
    return f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)


def printable(text: str) -> str:
    r"""Text with every control and invisible formatting character written out, so that no file name steers a terminal.

    Example:
        >>> printable("cat" + chr(27) + "[2J.jpg")
        'cat\\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
