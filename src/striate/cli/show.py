"""``striate show``: what a network costs."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Debug, Json, Plot, parse_shape
from striate.cli.session import command, print_json


def show(
    name: Annotated[
        str,
        typer.Argument(help="The network; striate models lists them. Or the folder of a trained one.", metavar="NAME"),
    ],
    input: Annotated[
        tuple | None,
        typer.Option(
            help="Channels, height and width of the image; without it what the network was made for.",
            parser=parse_shape,
            metavar="CxHxW",
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Length of the output; without it the published one.", metavar="N", min=1)
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Say what fits into so much memory: 8GB, 512MB, 24GiB.", metavar="AMOUNT"),
    ] = None,
    plot: Plot = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a network costs, stage by stage and layer by layer, and where most of it sits."""
    with command(debug=debug):
        from striate.jobs import show as job

        size = job.run(name, input, classes, memory)
        if plot is not None:
            from striate.cli.figures import layers_of

            layers_of(plot, size)
    if json:
        print_json(size)
        return
    from striate.cli.network_tables import show_size

    show_size(size)
    if plot is not None:
        typer.echo(f"\nfigure: {plot}")
