"""``striate bench``: inference and training speed on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Debug, Device, Json, Plot, Wide, asked, defaults
from striate.cli.session import command, print_json
from striate.records.plans import BenchPlan

_DEFAULT = defaults(BenchPlan)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Networks. Default: the smallest one of each family.", metavar="NAME"),
    ] = None,
    device: Device = _DEFAULT.device,
    batch: Annotated[int, typer.Option(help="Batch size.", metavar="N", min=1)] = _DEFAULT.batch,
    plot: Plot = None,
    wide: Wide = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure inference and training speed on this machine."""
    with asked():
        plan = BenchPlan(names=tuple(names or ()), device=device, batch=batch)
    with command(debug=debug) as session:
        from striate.jobs import bench as job

        rows = session.run(job.run, plan)
        if plot is not None:
            from striate.cli.figures import accuracy_against_cost
            from striate.records.zoo import find

            accuracy_against_cost(
                plot, [(row.name, find(row.name).family, row.macs, row.top1, row.params) for row in rows]
            )
    if json:
        print_json(rows)
        return
    from striate.cli.network_tables import show_bench

    show_bench(rows, wide=wide)
    if plot is not None:
        typer.echo(f"\nchart: {plot}")
