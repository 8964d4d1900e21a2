"""The Jinja environment of all templates, with the number formats of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from striate.core import words
from striate.core.durations import format_duration


def environment(*, html: bool, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """The environment for the templates of this package.

    Args:
        html: Whether to escape values for HTML.
        finalize: Function applied to each value before it is inserted; None for no function.
    """
    made = Environment(
        loader=PackageLoader("striate.report"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
        finalize=finalize,
    )
    made.filters |= {
        "percent": words.percent,
        "interval": words.interval,
        "duration": format_duration,
        "count": words.count,
        "short": words.short,
        "storage": words.storage,
        "plural": words.plural,
        "span": words.span,
        "quoted": shlex.quote,
        "brief": words.brief,
    }
    return made
