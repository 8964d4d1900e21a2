"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from striate.core.durations import parse_duration
from striate.core.errors import PlanError
from striate.records.tta import VIEWS

_SHAPE = re.compile(r"(\d+)x(\d+)x(\d+)")


def parse_time(text: str) -> float:
    """Read a TIME option, such as ``90s``, ``10m`` or ``2h``, in seconds."""
    with asked():
        return parse_duration(text)


def parse_shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width of a shape such as ``3x224x224``."""
    match = _SHAPE.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a shape; write channels x height x width, as in 3x224x224")
    channels, height, width = (int(each) for each in match.groups())
    if min(channels, height, width) < 1:
        raise typer.BadParameter(f"{text!r} has a side of 0; each is at least 1")
    return channels, height, width


def defaults(plan: type) -> SimpleNamespace:
    """The defaults of a plan's fields, by name. They live in the plan; the command line only shows them."""
    return SimpleNamespace(
        **{f.name: f.default for f in dataclasses.fields(plan) if f.default is not dataclasses.MISSING}
    )


@contextmanager
def asked() -> Iterator[None]:
    """What a plan refuses when it is built from options is wrong usage: exit 2, with the usage line.

    Raises:
        typer.BadParameter: The plan cannot be.
    """
    try:
        yield
    except PlanError as error:
        raise typer.BadParameter(str(error)) from error


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log.")]
Seed = Annotated[int, typer.Option(help="Every draw of the run follows from it.", metavar="N", min=0)]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:N or mps; without it the fastest at hand.", metavar="D")
]
Plot = Annotated[Path | None, typer.Option(help="Draw it, as an SVG image.", metavar="FILE.svg")]
Root = Annotated[str | None, typer.Option(help="Where the files of a standard set are.", metavar="DIR")]
Data = Annotated[
    str,
    typer.Argument(
        help="A folder with one folder per class, a .csv or .parquet manifest, a .tar or .zip of such a folder, or a "
        "standard set: digits, mnist, fashion_mnist, cifar10, cifar100.",
        metavar="DATA",
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--with", help="A further model of the same classes, joined by the mean; may be given again.", metavar="MODEL"
    ),
]
Snapshots = Annotated[
    bool, typer.Option("--snapshots", help="Take all that MODEL kept in train --snapshots, joined by the mean.")
]
Views = Annotated[
    str | None,
    typer.Option(
        help=f"Look at each image several times: {', '.join(VIEWS)}. Mirrors only where left and right are alike.",
        metavar="V",
    ),
]
Model = Annotated[str, typer.Argument(help="The folder of a run, NAME:WEIGHTS, or hub:OWNER/NAME.", metavar="MODEL")]
