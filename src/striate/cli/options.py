"""Options that several commands share, and the parsers of their values."""

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
        raise typer.BadParameter(f"{text!r} is not a shape; write CxHxW, for example 3x224x224")
    channels, height, width = (int(each) for each in match.groups())
    if min(channels, height, width) < 1:
        raise typer.BadParameter(f"{text!r} is not allowed; channels, height and width must be at least 1")
    return channels, height, width


def defaults(plan: type) -> SimpleNamespace:
    """The defaults of a plan's fields, by name. The plan defines them; the command line only shows them."""
    return SimpleNamespace(
        **{f.name: f.default for f in dataclasses.fields(plan) if f.default is not dataclasses.MISSING}
    )


@contextmanager
def asked() -> Iterator[None]:
    """Report a plan that rejects its options as wrong usage: the usage line and exit code 2.

    Raises:
        typer.BadParameter: The plan rejected an option.
    """
    try:
        yield
    except PlanError as error:
        raise typer.BadParameter(str(error)) from error


def _svg_file(path: Path | None) -> Path | None:
    """Refuse a chart in another format before any work is done: what a file holds is what its suffix says."""
    if path is not None and path.suffix.lower() != ".svg":
        raise typer.BadParameter(f"{path} does not end in .svg; charts are saved as SVG, which any browser shows")
    return path


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and log messages.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Show all columns in full, even if lines get longer than the terminal is wide.")
]
Seed = Annotated[int, typer.Option(help="Random seed.", metavar="N", min=0)]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:N or mps. Default: the fastest one available.", metavar="NAME")
]
Plot = Annotated[
    Path | None, typer.Option(help="Also save a chart to this SVG file.", metavar="FILE.svg", callback=_svg_file)
]
Root = Annotated[str | None, typer.Option(help="Folder with the files of a standard dataset.", metavar="DIR")]
MaxUnreadable = Annotated[
    float, typer.Option(help="Stop if more than this fraction of the images cannot be read.", metavar="FRACTION")
]
Data = Annotated[
    str,
    typer.Argument(
        help="A folder with one subfolder per class, a .csv or .parquet manifest, a .tar or .zip archive of such a "
        "folder, or a standard dataset: digits, mnist, fashion_mnist, cifar10, cifar100. With classes:PATH, every "
        "folder is a class, even one that is called train.",
        metavar="DATA",
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--with", help="Ensemble with this model, which has the same classes. Can be repeated.", metavar="MODEL"
    ),
]
Snapshots = Annotated[
    bool, typer.Option("--snapshots", help="Ensemble the snapshots that `striate train --snapshots` saved in MODEL.")
]
TTA = Annotated[
    str | None,
    typer.Option(
        help=f"Test-time augmentation: {', '.join(VIEWS)}. Use a policy with mirror only if a mirrored image keeps its "
        "class.",
        metavar="POLICY",
    ),
]
Model = Annotated[str, typer.Argument(help="A run folder, NAME:WEIGHTS or hub:OWNER/NAME.", metavar="MODEL")]
