"""``striate fit``: trains a classifier on a folder of labelled images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Data, Debug, Device, Json, MaxUnreadable, Root, Seed, asked, defaults, parse_time
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.core.words import command_line
from striate.records.plans import EngineName, FitPlan

_DEFAULT = defaults(FitPlan)


def fit(
    data: Data = _DEFAULT.data,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Pretrained network: NAME, NAME:WEIGHTS (a catalogue tag or a file), the folder of a finished run, "
            "or hub:OWNER/NAME. Default: chosen by the images and the budget.",
            metavar="MODEL",
        ),
    ] = _DEFAULT.backbone,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Time limit of the run, for example 90s, 10m or 2h. Candidates that do not fit are skipped.",
            parser=parse_time,
            metavar="TIME",
        ),
    ] = _DEFAULT.budget_s,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder. An unfinished run in it is resumed. Default: runs/<data>-<n>.", metavar="DIR"),
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(help="Use N images per class for training and validation. Default: all.", metavar="N"),
    ] = _DEFAULT.per_class,
    seed: Seed = _DEFAULT.seed,
    root: Root = _DEFAULT.root,
    scratch: Annotated[bool, typer.Option(help="Also try training from scratch.")] = _DEFAULT.scratch,
    fast_resize: Annotated[
        bool,
        typer.Option(
            "--fast-resize", help="Downscale with a faster filter than the one the weights were trained with."
        ),
    ] = _DEFAULT.fast_resize,
    max_unreadable: MaxUnreadable = _DEFAULT.max_unreadable,
    device: Device = _DEFAULT.device,
    engine: Annotated[EngineName, typer.Option(help="Inference engine for feature extraction.")] = _DEFAULT.engine,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train an image classifier by transfer learning.

    Compares a linear head, fine-tuning and training from scratch, keeps the best on validation data, evaluates it once
    on the test set and writes a report.
    """
    with asked():
        plan = FitPlan(
            data=data,
            root=root,
            backbone=backbone,
            budget_s=budget,
            per_class=per_class,
            seed=seed,
            device=device,
            engine=engine,
            fast_resize=fast_resize,
            max_unreadable=max_unreadable,
            scratch=scratch,
        )
    keep_freed_memory()
    spin_briefly()
    with command(debug=debug, again=lambda folder: _again(out, folder)) as session:
        from striate.jobs import fit as job

        outcome = session.run(partial(job.run, out=out), plan)
    if json:
        print_json(outcome.record)
        return
    from striate.cli.run_tables import show_fit

    show_fit(outcome.record, outcome.folder, finished_before=outcome.finished_before)


def _again(out: Path | None, folder: str | None) -> str:
    if out is not None:
        return f"run the same command again to resume the run in {out}"
    if folder is not None:
        return f"run the same command with {command_line('--out', Path(folder))} to resume the run"
    return "the run had not started; run the same command to start it"
