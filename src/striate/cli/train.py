"""``striate train``: a network from random weights."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Debug, Device, Json, Root, Seed, asked, defaults
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.records import recipes
from striate.records.plans import RuntimeOptions, TrainPlan

_DEFAULT = defaults(TrainPlan)
_RUNTIME = RuntimeOptions()


def train(
    name: Annotated[
        str | None, typer.Argument(help="The network; striate models lists them.", metavar="NAME", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(help="Labelled images, as striate fit takes them.", metavar="DATA", show_default=False),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="How it is trained: a recipe's name, or a .toml file.", metavar="R")
    ] = _DEFAULT.recipe,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images; without it the recipe's.", metavar="N")
    ] = _DEFAULT.epochs,
    micro_batch: Annotated[
        int | None,
        typer.Option(help="Images at a time, as batch statistics take them; processes share groups.", metavar="N"),
    ] = _DEFAULT.micro_batch,
    schedule_fraction: Annotated[
        float, typer.Option(help="Of the recipe's steps; falls of the rate keep their places.", metavar="S")
    ] = _DEFAULT.schedule_fraction,
    validate: Annotated[
        bool, typer.Option("--validate", help="Hold back a validation split, and keep the epoch that is best on it.")
    ] = _DEFAULT.validate,
    snapshots: Annotated[
        int | None,
        typer.Option(
            help="Let the rate fall so many times, and keep the weights of each: an ensemble from one run.", metavar="N"
        ),
    ] = _DEFAULT.snapshots,
    precision: Annotated[
        str, typer.Option(help="Of the arithmetic: float32, bf16, or auto: bf16 where the device has it.", metavar="P")
    ] = _DEFAULT.precision,
    workers: Annotated[
        int, typer.Option(help="Processes that prepare images ahead; the numbers are the same.", metavar="N")
    ] = _RUNTIME.workers,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Run the network through torch.compile.")
    ] = _RUNTIME.compiled,
    save_every: Annotated[
        float, typer.Option(help="Seconds of work that a kill may cost.", metavar="SECONDS")
    ] = _RUNTIME.save_every_s,
    tracker: Annotated[
        list[str] | None,
        typer.Option(help="Also report to tensorboard, wandb or mlflow; may be given again.", metavar="NAME"),
    ] = None,
    max_unreadable: Annotated[
        float, typer.Option(help="Share of images that may be unreadable before the run stops.", metavar="SHARE")
    ] = _RUNTIME.max_unreadable,
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
            plan = TrainPlan(
                network=name,
                data=data,
                root=root,
                recipe=recipe,
                epochs=epochs,
                micro_batch=micro_batch,
                schedule_fraction=schedule_fraction,
                seed=seed,
                precision=precision,  # pyright: ignore[reportArgumentType]  # the plan looks
                validate=validate,
                snapshots=snapshots,
                device=device,
            )
    elif name is not None or data is not None:
        raise typer.BadParameter(
            "the run's own network and data are used; leave NAME and DATA out", param_hint="--resume"
        )
    elif out is not None and out.resolve() != resume.resolve():
        raise typer.BadParameter("a run goes on in its own folder; leave --out out", param_hint="--resume")
    with asked():
        runtime = RuntimeOptions(
            workers=workers,
            compiled=compiled,
            save_every_s=save_every,
            trackers=tuple(tracker or ()),
            max_unreadable=max_unreadable,
        )
    keep_freed_memory()
    spin_briefly()
    with command(debug=debug, again=lambda folder: _again(resume or out, folder)) as progress:
        from striate.core.device import gpu_count
        from striate.jobs import train as job
        from striate.training.ranks import launched, speaks

        if resume is not None:
            plan = job.planned(resume)
        assert plan is not None
        if plan.device in (None, "auto", "cuda") and launched() == 1:
            several = on_every_gpu(plan.method(), gpu_count(), sys.argv[1:], named=bool(out or resume))
            if several is not None:
                progress.note(several)
        outcome = job.run(plan, resume or out, progress, runtime=runtime, resume=resume is not None)
    if not speaks():
        return
    if json:
        print_json(outcome.record)
        return
    from striate.cli.run_tables import show_train

    show_train(outcome.record, outcome.folder)


def on_every_gpu(recipe: recipes.Recipe, here: int, words: Sequence[str], *, named: bool) -> str | None:
    """What to say to somebody who uses one GPU of several; None where there is one or none.

    Args:
        recipe: Its groups are what processes share.
        here: GPUs of this machine.
        words: The command line after the program's name.
        named: Whether it names the run's folder.
    """
    if here < 2:
        return None
    said = f"this machine has {here} GPUs, and one of them is used"
    micro_batches = recipe.batch // (recipe.micro_batch or recipe.batch)
    if (processes := math.gcd(micro_batches, here)) == 1:
        size = recipe.batch // micro_batches
        why = f"{said}: the recipe's {micro_batches} micro-batches of {size} images per step cannot be shared"
        return why if recipe.batch % here else f"{why}; use --micro-batch {recipe.batch // here}"
    line = ["torchrun", "--nproc-per-node", str(processes), "-m", "striate", *words]
    return f"{said}; {processes} would be by: {shlex.join(line)}{'' if named else ' --out DIR'}"


def _again(out: Path | None, folder: str | None) -> str:
    known = out or folder
    if known is None:
        return "the run had not begun, and the same command begins it"
    return f"striate train --resume {known} goes on with the run"
