"""``striate train``: a network from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Debug, Device, Json, Root, Seed, asked, defaults
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.records.plans import TrainPlan

_DEFAULT = defaults(TrainPlan)


def train(
    name: Annotated[
        str | None, typer.Argument(help="The network; striate models lists them.", metavar="NAME", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(help="Labelled pictures, as striate fit takes them.", metavar="DATA", show_default=False),
    ] = None,
    recipe: Annotated[str, typer.Option(help="How it is trained.", metavar="R")] = _DEFAULT.recipe,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the pictures; without it the recipe's.", metavar="N")
    ] = _DEFAULT.epochs,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", metavar="DIR")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the run in this folder; NAME and DATA are those it began with.", metavar="DIR"),
    ] = None,
    seed: Seed = _DEFAULT.seed,
    root: Root = _DEFAULT.root,
    device: Device = _DEFAULT.device,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a network from scratch, or go on with a run that was stopped."""
    plan = None
    if resume is None:
        if name is None or data is None:
            raise typer.BadParameter("say which network to train, and on what: striate train NAME DATA")
        with asked():
            plan = TrainPlan(network=name, data=data, root=root, recipe=recipe, epochs=epochs, seed=seed, device=device)
    elif name is not None or data is not None:
        raise typer.BadParameter(
            "the run's own network and data are used; leave NAME and DATA out", param_hint="--resume"
        )
    elif out is not None and out.resolve() != resume.resolve():
        raise typer.BadParameter("a run goes on in its own folder; leave --out out", param_hint="--resume")
    keep_freed_memory()
    spin_briefly()
    with command(debug=debug, again=lambda folder: _again(resume or out, folder)) as listener:
        from striate.jobs import train as job

        if plan is None and resume is not None:
            outcome = job.run(job.planned(resume), resume, listener, resume=True)
        elif plan is not None:
            outcome = job.run(plan, out, listener, resume=False)
    if json:
        print_json(outcome.record)
        return
    from striate.cli.tables import show_train

    show_train(outcome.record, outcome.folder)


def _again(out: Path | None, folder: str | None) -> str:
    known = out or folder
    if known is None:
        return "the run had not begun, and the same command begins it"
    return f"striate train --resume {known} goes on with the run"
