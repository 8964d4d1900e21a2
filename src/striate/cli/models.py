"""``striate models``: the zoo. Imports no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Debug, Json
from striate.cli.session import command, print_json


def models(
    family: Annotated[str | None, typer.Option(help="Only networks of this family.", metavar="F")] = None,
    weights: Annotated[bool, typer.Option("--weights", help="List each network's published weights too.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List the networks, oldest first."""
    with command(debug=debug):
        from striate.jobs import models as job

        rows = job.run(family, weights)
    if json:
        print_json(rows)
        return
    from striate.cli.tables import show_models

    show_models(rows, weights=weights)
