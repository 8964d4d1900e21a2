"""``striate check``: a dataset's classes and issues, before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Data, Debug, Json, Root
from striate.cli.session import command, print_json
from striate.records.plans import CheckPlan, PreviewPlan


def check(
    data: Data,
    root: Root = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Also save a contact sheet of images as this recipe (a name or a .toml file) augments them.",
            metavar="RECIPE",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Draw the sheet at this network's input size. Default: the images' own size, at most 224 px.",
            metavar="NAME",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the sheet. Default: DATA-RECIPE.png.", metavar="FILE.png")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a dataset before training.

    Lists the classes and reports unreadable files, exact duplicates, conflicting labels and other issues.
    """
    if augment is None and (network is not None or out is not None):
        raise typer.BadParameter("--network and --out are only allowed with --augment RECIPE")
    if out is not None and out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} does not end in .png; the sheet is a PNG image", param_hint="--out")
    preview = (
        None if augment is None else PreviewPlan(recipe=augment, network=network, out=None if out is None else str(out))
    )
    with command(debug=debug) as session:
        from striate.jobs import check as job

        record = session.run(job.run, CheckPlan(data=data, root=root, preview=preview))
    if json:
        print_json(record)
        return
    from striate.cli.run_tables import show_check

    show_check(record)
