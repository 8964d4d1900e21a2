"""``striate show``: a network's layers, parameters, multiply-adds and memory."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Debug, Json, Plot, Wide, parse_shape
from striate.cli.session import command, print_json
from striate.records.plans import ShowPlan


def show(
    name: Annotated[
        str,
        typer.Argument(help="A network (`striate models` lists them) or the folder of a finished run.", metavar="NAME"),
    ],
    input: Annotated[
        tuple | None,
        typer.Option(
            help="Input shape: channels x height x width. Default: the network's own.",
            parser=parse_shape,
            metavar="CxHxW",
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes. Default: the published number.", metavar="N", min=1)
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Estimate the largest batch and image that fit into this much memory, for example 8GB or 24GiB.",
            metavar="SIZE",
        ),
    ] = None,
    plot: Plot = None,
    wide: Wide = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show a network's layers, parameters and multiply-adds.

    Lists every layer and stage with its output shape, receptive field and output stride.
    """
    with command(debug=debug) as session:
        from striate.jobs import show as job

        size = session.run(job.run, ShowPlan(name=name, input=input, classes=classes, memory=memory))
        if plot is not None:
            from striate.cli.figures import layers_of

            layers_of(plot, size)
    if json:
        print_json(size)
        return
    from striate.cli.network_tables import show_size

    show_size(size, wide=wide)
    if plot is not None:
        typer.echo(f"\nchart: {plot}")
