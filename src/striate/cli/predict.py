"""``striate predict``: class probabilities of images."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import TTA, Also, Debug, Device, Json, Model, Snapshots, Wide, asked, defaults
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.core.words import printable
from striate.records.plans import PredictPlan

_DEFAULT = defaults(PredictPlan)


def predict(
    model: Model,
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders, tar or zip archives, or quoted patterns such as 'new/*.jpg'.", metavar="IMAGE"
        ),
    ],
    top: Annotated[int, typer.Option(help="Predictions per image.", metavar="K", min=1)] = _DEFAULT.top,
    also: Also = None,
    snapshots: Snapshots = _DEFAULT.snapshots,
    tta: TTA = _DEFAULT.tta,
    device: Device = _DEFAULT.device,
    wide: Wide = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Classify images; the most probable class comes first.

    If an image cannot be read, the others are still classified and the exit code is 1.
    """
    with asked():
        plan = PredictPlan(
            model=model,
            also=tuple(also or ()),
            snapshots=snapshots,
            tta=tta,
            images=tuple(images),
            top=top,
            device=device,
        )
    keep_freed_memory()
    spin_briefly()
    with command(debug=debug) as session:
        from striate.jobs import predict as job

        records = session.run(job.run, plan)
    failed = [each for each in records if each.error is not None]
    if json:
        print_json(records)
    else:
        from striate.cli.run_tables import show_predictions

        show_predictions([each for each in records if each.error is None], wide=wide)
    for each in failed:
        file, error = each.file, str(each.error)
        typer.echo(f"error: {printable(error if file in error else f'{file}: {error}')}", err=True)
    if failed:
        raise typer.Exit(1)
