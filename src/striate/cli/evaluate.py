"""``striate eval``: a model's metrics on labelled images."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import TTA, Also, Data, Debug, Device, Json, Model, Root, Snapshots, Wide, asked, defaults
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.records.plans import EngineName, EvalPlan

_DEFAULT = defaults(EvalPlan)


def evaluate(
    model: Model,
    data: Data,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, validation or test. Default: test if DATA has that split, else all images.", metavar="NAME"
        ),
    ] = _DEFAULT.split,
    also: Also = None,
    snapshots: Snapshots = _DEFAULT.snapshots,
    tta: TTA = _DEFAULT.tta,
    root: Root = _DEFAULT.root,
    device: Device = _DEFAULT.device,
    engine: Annotated[EngineName, typer.Option(help="Inference engine.")] = _DEFAULT.engine,
    batch: Annotated[int, typer.Option(help="Batch size.", metavar="N", min=1)] = _DEFAULT.batch,
    wide: Wide = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Evaluate a model on labelled images.

    Compares a single model with an ensemble or with test-time augmentation when you ask for one.
    """
    with asked():
        plan = EvalPlan(
            model=model,
            also=tuple(also or ()),
            snapshots=snapshots,
            tta=tta,
            data=data,
            root=root,
            split=split,
            device=device,
            engine=engine,
            batch=batch,
        )
    keep_freed_memory()
    spin_briefly()
    with command(debug=debug) as session:
        from striate.jobs import evaluate as job

        record = session.run(job.run, plan)
    if json:
        print_json(record)
        return
    from striate.cli.run_tables import show_evaluation

    show_evaluation(record, data, wide=wide)
