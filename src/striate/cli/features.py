"""``striate features``: pooled features of one stage, in a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Debug, Device, Json, Model, Root, asked, defaults
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.records.plans import EngineName, FeaturesPlan

_DEFAULT = defaults(FeaturesPlan)


def features(
    model: Model,
    data: Annotated[
        str,
        typer.Argument(
            help="A dataset, as in striate fit, or a folder of images without class subfolders.", metavar="DATA"
        ),
    ],
    out: Annotated[Path, typer.Option(help="File for the features: .npz or .npy.", metavar="FILE")],
    stage: Annotated[
        str | None,
        typer.Option(
            help="A stage, as in striate show, or head.PART for a hidden layer of the head. Default: the last.",
            metavar="NAME",
        ),
    ] = _DEFAULT.stage,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test. Default: all images.", metavar="NAME")
    ] = _DEFAULT.split,
    root: Root = _DEFAULT.root,
    device: Device = _DEFAULT.device,
    engine: Annotated[EngineName, typer.Option(help="Inference engine.")] = _DEFAULT.engine,
    batch: Annotated[int, typer.Option(help="Batch size.", metavar="N", min=1)] = _DEFAULT.batch,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Extract the pooled features of a stage.

    A .npz file holds the arrays features, files, labels and classes; a .npy file holds the features alone.
    """
    if out.suffix not in (".npz", ".npy"):
        raise typer.BadParameter(f"{out} does not end in .npz or .npy", param_hint="--out")
    with asked():
        plan = FeaturesPlan(
            model=model, data=data, root=root, stage=stage, split=split, device=device, engine=engine, batch=batch
        )
    keep_freed_memory()
    spin_briefly()
    with command(debug=debug) as session:
        from striate.jobs import features as job

        record = session.run(partial(job.run, out=out), plan)
    if json:
        print_json(record)
        return
    from striate.cli.run_tables import show_features

    show_features(record)
