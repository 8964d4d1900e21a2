"""Lengths of time: parsed from text, and formatted for people."""

from __future__ import annotations

import re

from striate.core.errors import PlanError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Convert a duration such as ``90s``, ``10m`` or ``2h`` to seconds.

    Args:
        text: A number followed by ``s``, ``m`` or ``h``, in upper or lower case.

    Returns:
        The duration in seconds, above 0.

    Raises:
        PlanError: The text has another form, or the duration is 0.

    Example:
        >>> parse_duration("1.5h")
        5400.0
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise PlanError(f"{text!r} is not a duration", hint="write a number and s, m or h, as in 90s, 10m or 2h")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds <= 0:
        raise PlanError(f"the duration {text!r} is 0", hint="give a duration above 0, as in 90s, 10m or 2h")
    return seconds


def format_duration(seconds: float) -> str:
    """Format a duration with its two largest units.

    Args:
        seconds: The duration in seconds, at least 0.

    Example:
        >>> format_duration(134.2)
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
