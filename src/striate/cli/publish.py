"""``striate publish``: a finished run's network for others."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Debug, Json, asked, defaults
from striate.cli.session import command, print_json
from striate.records.plans import PublishPlan

_DEFAULT = defaults(PublishPlan)


def publish(
    run: Annotated[str, typer.Argument(help="Folder of a finished striate train or striate fit.", metavar="RUN")],
    licence: Annotated[
        str | None,
        typer.Option(help="Under which the weights may be used: apache-2.0, cc-by-4.0, ... Required.", metavar="L"),
    ] = _DEFAULT.licence,
    to: Annotated[
        str | None,
        typer.Option(help="hub:OWNER/NAME, or a new folder; without it published/RUN.", metavar="PLACE"),
    ] = _DEFAULT.to,
    data_licence: Annotated[
        str | None, typer.Option(help="Under which the images may be used.", metavar="L")
    ] = _DEFAULT.data_licence,
    data_name: Annotated[
        str | None, typer.Option(help="What the images are called; without it their folder's name.", metavar="NAME")
    ] = _DEFAULT.data_name,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who sees a new repository; without it as your settings say."),
    ] = _DEFAULT.private,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Publish a network with a model card, to a folder or to the Hugging Face hub.

    Weights, classes, preprocessing and figures are published; images, their names and the report are not.
    """
    with asked():
        plan = PublishPlan(
            run=run, licence=licence, to=to, data_licence=data_licence, data_name=data_name, private=private
        )
    with command(debug=debug) as progress:
        from striate.jobs import publish as job

        record = job.run(plan, progress)
    if json:
        print_json(record)
        return
    from striate.cli.run_tables import show_published

    show_published(record)
