"""``striate train``: trains a network from random weights."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Debug, Device, Json, MaxUnreadable, Root, Seed, asked, defaults
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.core.processes import is_first, launched
from striate.core.words import command_line, plural
from striate.records import recipes
from striate.records.plans import RuntimeOptions, TrainPlan

_DEFAULT = defaults(TrainPlan)
_RUNTIME = RuntimeOptions()


def train(
    name: Annotated[
        str | None,
        typer.Argument(help="The network; `striate models` lists them.", metavar="NAME", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(help="Labelled images, as for `striate fit`.", metavar="DATA", show_default=False),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Training recipe: a built-in name or a .toml file.", metavar="NAME")
    ] = _DEFAULT.recipe,
    epochs: Annotated[
        int | None, typer.Option(help="Number of epochs. Default: the recipe's.", metavar="N")
    ] = _DEFAULT.epochs,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            help="Images per forward and backward pass; gradients are accumulated over the recipe's batch. "
            "Batch-norm statistics are those of a micro-batch. Default: the recipe's.",
            metavar="N",
        ),
    ] = _DEFAULT.micro_batch,
    schedule_fraction: Annotated[
        float,
        typer.Option(
            help="Train for this fraction of the recipe's steps, with the whole schedule compressed into them.",
            metavar="FRACTION",
        ),
    ] = _DEFAULT.schedule_fraction,
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Hold out a validation set and keep the weights of the best epoch."),
    ] = _DEFAULT.validate,
    snapshots: Annotated[
        int | None,
        typer.Option(
            help="Snapshot ensemble: N cosine cycles of the learning rate, with the weights saved after each.",
            metavar="N",
        ),
    ] = _DEFAULT.snapshots,
    precision: Annotated[
        str,
        typer.Option(help="float32, bf16 or auto. auto means bf16 if the device supports it natively.", metavar="TYPE"),
    ] = _DEFAULT.precision,
    workers: Annotated[
        int, typer.Option(help="Data-loading processes. They do not change the results.", metavar="N")
    ] = _RUNTIME.workers,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = _RUNTIME.compiled,
    save_every: Annotated[
        float, typer.Option(help="Time between checkpoints.", metavar="SECONDS")
    ] = _RUNTIME.save_every_s,
    tracker: Annotated[
        list[str] | None,
        typer.Option(help="Also log to tensorboard, wandb or mlflow. Can be repeated.", metavar="NAME"),
    ] = None,
    max_unreadable: MaxUnreadable = _RUNTIME.max_unreadable,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. Default: runs/<name>-<data>-<n>.", metavar="DIR")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Resume the run in this folder. Do not give NAME and DATA again.", metavar="DIR"),
    ] = None,
    seed: Seed = _DEFAULT.seed,
    root: Root = _DEFAULT.root,
    device: Device = _DEFAULT.device,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a network from random weights, or resume a run."""
    plan = None
    if resume is None:
        if name is None or data is None:
            raise typer.BadParameter("name a network and a dataset: striate train NAME DATA")
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
                precision=precision,  # pyright: ignore[reportArgumentType]  # the plan validates it
                validate=validate,
                snapshots=snapshots,
                device=device,
            )
    elif name is not None or data is not None:
        raise typer.BadParameter(
            "a resumed run keeps its network and data; leave out NAME and DATA", param_hint="--resume"
        )
    elif out is not None and out.resolve() != resume.resolve():
        raise typer.BadParameter("a run is resumed in its own folder; do not give another --out", param_hint="--resume")
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
    with command(debug=debug, again=lambda folder: _again(resume or out, folder)) as session:
        from striate.core.device import gpu_count
        from striate.jobs import train as job

        if resume is not None:
            plan = job.planned(resume)
        assert plan is not None
        if plan.device in (None, "auto", "cuda") and launched() == 1:
            several = on_every_gpu(plan.method(), gpu_count(), sys.argv[1:], named=bool(out or resume))
            if several is not None:
                session.progress.note(several)
        verb = partial(job.run, out=resume or out, runtime=runtime, resume=resume is not None)
        outcome = session.run(verb, plan)
    if not is_first():
        return
    if json:
        print_json(outcome.record)
        return
    from striate.cli.run_tables import show_train

    show_train(outcome.record, outcome.folder)


def on_every_gpu(recipe: recipes.Recipe, here: int, words: Sequence[str], *, named: bool) -> str | None:
    """The advice for a user who trains on one GPU of several; None if there are fewer than two GPUs.

    Args:
        recipe: The recipe; its micro-batches are distributed over the processes.
        here: Number of GPUs of this machine.
        words: The command line after the program's name.
        named: Whether the command line names the run folder.
    """
    if here < 2:
        return None
    said = f"this machine has {here} GPUs and this run uses one"
    micro_batches = recipe.batch // (recipe.micro_batch or recipe.batch)
    if (processes := math.gcd(micro_batches, here)) == 1:
        size = recipe.batch // micro_batches
        why = f"{said}: {plural(micro_batches, 'micro-batch', 'micro-batches')} of {size} images per step cannot be "
        why += f"distributed over {here} GPUs"
        return why if recipe.batch % here else f"{why}; use --micro-batch {recipe.batch // here}"
    line = ["torchrun", "--nproc-per-node", str(processes), "-m", "striate", *words]
    return f"{said}; to use {processes}, run: {shlex.join(line)}{'' if named else ' --out DIR'}"


def _again(out: Path | None, folder: str | None) -> str:
    known = out or folder
    if known is None:
        return "the run had not started; run the same command to start it"
    return f"to resume the run: {command_line('striate', 'train', '--resume', Path(known))}"
