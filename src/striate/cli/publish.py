"""``striate publish``: a finished run's network as a folder or a repository on the Hugging Face Hub."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from striate.cli.options import Debug, Json, asked, defaults
from striate.cli.session import command, print_json
from striate.records.plans import PublishPlan

_DEFAULT = defaults(PublishPlan)


def publish(
    run: Annotated[str, typer.Argument(help="Folder of a finished `striate fit` or `striate train`.", metavar="RUN")],
    licence: Annotated[
        str | None,
        typer.Option(help="Licence of the weights, for example apache-2.0 or cc-by-4.0. Required.", metavar="SPDX"),
    ] = _DEFAULT.licence,
    to: Annotated[
        str | None,
        typer.Option(help="hub:OWNER/NAME or a new folder. Default: published/RUN.", metavar="TARGET"),
    ] = _DEFAULT.to,
    data_licence: Annotated[
        str | None, typer.Option(help="Licence of the images.", metavar="LICENCE")
    ] = _DEFAULT.data_licence,
    data_name: Annotated[
        str | None, typer.Option(help="Name of the dataset. Default: the name of its folder.", metavar="NAME")
    ] = _DEFAULT.data_name,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Visibility of a new repository. Default: your account's setting."),
    ] = _DEFAULT.private,
    names: Annotated[
        str,
        typer.Option(help="Tensor names: striate, timm (with its config.json) or torchvision.", metavar="LIBRARY"),
    ] = _DEFAULT.names,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Publish a trained network with a model card.

    The target is a folder or the Hugging Face Hub. Weights, classes, preprocessing and metrics are published. Images,
    file names and the report are not.
    """
    with asked():
        plan = PublishPlan(
            run=run,
            licence=licence,
            to=to,
            data_licence=data_licence,
            data_name=data_name,
            private=private,
            names=cast("Any", names),
        )
    with command(debug=debug) as session:
        from striate.jobs import publish as job

        record = session.run(job.run, plan)
    if json:
        print_json(record)
        return
    from striate.cli.run_tables import show_published

    show_published(record)
