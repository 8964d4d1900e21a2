"""``striate check``: the data, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Data, Debug, Json, Root
from striate.cli.session import command, print_json
from striate.records.plans import PreviewPlan


def check(
    data: Data,
    root: Root = None,
    augment: Annotated[
        str | None, typer.Option(help="Also draw images as this recipe or .toml file varies them.", metavar="RECIPE")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="At whose input size; without it their own, up to 224 px.", metavar="NAME")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where they are drawn; without it DATA-RECIPE.png.", metavar="FILE.png")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Look labelled images over before any training: classes, unreadable files, doubles, contradictions."""
    if augment is None and (network is not None or out is not None):
        raise typer.BadParameter("--network and --out belong to --augment RECIPE")
    if out is not None and out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} is drawn as a PNG image; name a file that ends in .png", param_hint="--out")
    preview = None if augment is None else PreviewPlan(recipe=augment, network=network)
    with command(debug=debug) as progress:
        from striate.jobs import check as job

        found = job.run(data, root, progress, preview=preview, out=out)
    if json:
        print_json(found)
        return
    from striate.cli.run_tables import show_check

    show_check(found)
