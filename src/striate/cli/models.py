"""``striate models``: the list of networks. It imports torch only for ``--table``, which builds the networks."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from striate.cli.options import Debug, Json, Plot, Wide
from striate.cli.session import command, print_json
from striate.records.plans import ModelsPlan
from striate.records.zoo import ModelRecord


def models(
    family: Annotated[
        str | None, typer.Option(help="List only this family, for example resnet.", metavar="NAME")
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="List the pretrained weights of each network.")] = False,
    table: Annotated[
        Literal["keras"] | None,
        typer.Option(help="Compare the published table of Keras Applications with these networks."),
    ] = None,
    plot: Plot = None,
    wide: Wide = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List the available networks, oldest first."""
    if table is not None:
        _check_keras(wide=wide, json=json, debug=debug)
        return
    with command(debug=debug) as session:
        from striate.jobs import models as job

        rows = session.run(job.run, ModelsPlan(family=family, weights=weights))
        if plot is not None:
            from striate.cli.figures import accuracy_against_cost

            accuracy_against_cost(plot, [(row.name, row.family, row.macs, _top1(row), row.params) for row in rows])
    if json:
        print_json(rows)
        return
    from striate.cli.network_tables import show_models

    show_models(rows, weights=weights, wide=wide)
    if plot is not None:
        typer.echo(f"\nchart: {plot}")


def _top1(row: ModelRecord) -> float | None:
    best = row.published
    return best.top1 if best and best.dataset.startswith("imagenet") else None


def _check_keras(*, wide: bool, json: bool, debug: bool) -> None:
    with command(debug=debug):
        from striate.jobs import keras_table as job

        rows = job.run()
    if json:
        print_json(rows)
        return
    from striate.cli.network_tables import show_keras_table

    show_keras_table(rows, wide=wide)
