"""``striate fit``: a folder of labelled images becomes a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Data, Debug, Device, Json, Root, Seed, asked, defaults, parse_time
from striate.cli.session import command, print_json
from striate.core.memory import keep_freed_memory, spin_briefly
from striate.records.plans import EngineName, FitPlan

_DEFAULT = defaults(FitPlan)


def fit(
    data: Data = _DEFAULT.data,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The pretrained network to start from: NAME, NAME:WEIGHTS (a catalogue tag or a file), the folder of "
            "a finished run, or hub:OWNER/NAME. Without it the images decide.",
            metavar="MODEL",
        ),
    ] = _DEFAULT.backbone,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Bound on the whole run: 90s, 10m, 2h. It can only drop whole candidates.",
            parser=parse_time,
            metavar="TIME",
        ),
    ] = _DEFAULT.budget_s,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder; without it runs/<data>-<n>. An unfinished run there goes on.", metavar="DIR"
        ),
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(help="Labelled images used of each class; without it all.", metavar="N")
    ] = _DEFAULT.per_class,
    seed: Seed = _DEFAULT.seed,
    root: Root = _DEFAULT.root,
    scratch: Annotated[
        bool, typer.Option(help="Whether a network trained from scratch is among the candidates.")
    ] = _DEFAULT.scratch,
    fast_resize: Annotated[
        bool, typer.Option("--fast-resize", help="Reduce images by a faster filter than the weights' own.")
    ] = _DEFAULT.fast_resize,
    max_unreadable: Annotated[
        float, typer.Option(help="Share of images that may be unreadable before the run stops.", metavar="SHARE")
    ] = _DEFAULT.max_unreadable,
    device: Device = _DEFAULT.device,
    engine: Annotated[EngineName, typer.Option(help="What runs the frozen network.")] = _DEFAULT.engine,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a classifier of labelled images, and a report that says how far to trust it.

    With no DATA it takes scikit-learn's digits, which need no download.
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
    with command(debug=debug, again=lambda folder: _again(out, folder)) as progress:
        from striate.jobs import fit as job

        outcome = job.run(plan, out, progress)
    if json:
        print_json(outcome.record)
        return
    from striate.cli.run_tables import show_fit

    show_fit(outcome.record, outcome.folder, finished_before=outcome.finished_before)


def _again(out: Path | None, folder: str | None) -> str:
    if out is not None:
        return f"the same command goes on with the run in {out}"
    if folder is not None:
        return f"the same command with --out {folder} goes on with the run"
    return "the run had not begun, and the same command begins it"
