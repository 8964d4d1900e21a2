"""The common part of the experiments: trains all arms within a budget, and writes a table and a plot.

Every arm gets the same fraction of its recipe. The fraction follows from the budget and from the time of a training
step, which is measured on the same images. Schedules are compressed, never cut off, and the table states the fraction.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, get_args

from striate.core.memory import keep_freed_memory, spin_briefly

if "torch" not in sys.modules:  # as the command does; after the import of torch it has no effect
    keep_freed_memory()
    spin_briefly()

from striate.core.atomic import write_text
from striate.core.durations import format_duration, parse_duration
from striate.core.errors import PlanError
from striate.core.events import NoProgress
from striate.core.words import count, interval, percent
from striate.data.index import scan
from striate.jobs import evaluate, train
from striate.models import REGISTRY
from striate.records.io import to_json
from striate.records.plans import EvalPlan, Precision, TrainPlan
from striate.records.results import ModelScore

TIMED_STEPS, TIMED_S, WARM_UP_STEPS = 60, 20.0, 3
"""The time of a step is measured over this many steps or seconds, whichever ends first, after warm-up steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One training run of an experiment.

    Args:
        label: Its name in the table and the plot.
        network: Name of the network in the registry.
        recipe: Name of the recipe.
        precision: Precision of the training; None means the one of the command line.
        seed: Added to the seed of the command line.
        snapshots: Number of snapshots, one per cycle of the learning rate; None keeps the schedule of the recipe.
    """

    label: str
    network: str
    recipe: str
    precision: Precision | None = None
    seed: int = 0
    snapshots: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """An ensemble of trained arms, evaluated next to each of its members.

    Args:
        label: Its name in the table.
        arms: Labels of the members.
        snapshots: Whether the members are the snapshots of the first arm.
        tta: Test-time augmentation, such as ``mirror``; None disables it.
    """

    label: str
    arms: tuple[str, ...]
    snapshots: bool = False
    tta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of an arm.

    Args:
        arm: The arm.
        parameters: Number of parameters of the network.
        steps: Number of training steps.
        steps_per_epoch: Steps per epoch.
        full_steps: Number of steps of the whole recipe.
        test_error: Top-1 error on the test set, from 0 to 1.
        test_interval: Its 95 % confidence interval.
        train_error: Top-1 error on the training set; None if the experiment does not measure it.
        curve: Mean training loss of each epoch; the last epoch may be partial.
        seconds: Time of the training, in seconds.
        precision: Precision of the training.
    """

    arm: Arm
    parameters: int
    steps: int
    steps_per_epoch: int
    full_steps: int
    test_error: float
    test_interval: tuple[float, float]
    train_error: float | None
    curve: tuple[float, ...]
    seconds: float
    precision: str

    @property
    def fraction(self) -> float:
        """Fraction of the recipe's steps that were trained."""
        return self.steps / self.full_steps


Finding = Callable[[dict[str, Row]], list[str]]
"""Derives the findings, one sentence each, from the rows by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A question, and the training runs that answer it.

    Args:
        title: Title of the table and the plot.
        data: Default dataset: the name of a standard dataset, or a folder.
        arms: The training runs.
        findings: Derives the findings from the rows.
        training_error: Whether to measure the error on the training set too.
        ensembles: Ensembles to evaluate after all arms are trained.
    """

    title: str
    data: str
    arms: tuple[Arm, ...]
    findings: Finding
    training_error: bool = False
    ensembles: tuple[Combination, ...] = ()


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> list[Row]:
    """Run an experiment from the command line.

    The experiment writes ``results.json``, ``results.md`` and ``curves.svg`` to ``--out`` after every arm. The same
    command resumes a stopped experiment with the same fraction of the schedule (``schedule_fraction.json``).

    Args:
        experiment: The experiment.
        arguments: Command-line arguments; None means those of the process.

    Returns:
        A row for every arm.
    """
    parser = argparse.ArgumentParser(description=experiment.title)
    parser.add_argument("--data", default=experiment.data, help="dataset, as in striate train")
    parser.add_argument("--root", help="folder with the files of a standard dataset")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--budget", type=duration, default="1h", help="time for all arms, such as 90s, 30m, 2h")
    extent.add_argument("--schedule-fraction", type=float, help="fraction of every recipe, regardless of the time")
    parser.add_argument("--out", type=Path, required=True, help="output folder of the runs, the table and the plot")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="precision of the training")
    parser.add_argument("--device")
    given = parser.parse_args(arguments)
    splits = scan(given.data, root=given.root).splits or ()
    if experiment.training_error and "train" not in splits:
        parser.error(f"{given.data} has no training split, and this experiment measures the training error")
    if experiment.ensembles and "test" not in splits:
        parser.error(f"{given.data} has no test split, and this experiment compares networks on the test set")
    plans = [
        TrainPlan(
            network=arm.network,
            data=given.data,
            root=given.root,
            recipe=arm.recipe,
            seed=given.seed + arm.seed,
            precision=arm.precision or given.precision,
            snapshots=arm.snapshots,
            device=given.device,
        )
        for arm in experiment.arms
    ]
    given.out.mkdir(parents=True, exist_ok=True)
    schedule_fraction, full = choose_fraction(
        plans, given.budget, given.out / "schedule_fraction.json", given.schedule_fraction
    )
    print(f"{schedule_fraction:.2%} of each recipe", flush=True)
    rows = []
    for arm, plan, full_steps in zip(experiment.arms, plans, full, strict=True):
        rows.append(
            train_arm(
                arm,
                replace(plan, schedule_fraction=schedule_fraction),
                full_steps,
                given.out,
                experiment.training_error,
            )
        )
        write(experiment, rows, given.out)  # after every arm, so that a stopped experiment keeps its results
        print(line_of(rows[-1]), flush=True)
    if experiment.ensembles:
        combined = {each.label: evaluate_ensemble(each, plans[0], given.out) for each in experiment.ensembles}
        write(experiment, rows, given.out, combined)
    return rows


def duration(text: str) -> float:
    """Parse a duration such as ``90s``, ``30m`` or ``2h``, for argparse.

    Example:
        >>> duration("1.5h")
        5400.0
    """
    try:
        return parse_duration(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# ---------------------------------------------------------------------- time


class TimingDone(Exception):  # noqa: N818 (not an error)
    """Stops a training run after the time of a step has been measured."""


class Stopwatch(NoProgress):
    """A progress callback that measures the time of a training step and then stops the training."""

    def __init__(self, max_s: float) -> None:
        self.full_steps, self.step_s = 0, 0.0
        self._max_s, self._training, self._began, self._first = max_s, False, 0.0, 0

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Read the number of steps of the training."""
        self._training = name == "training"
        if self._training:
            assert total is not None
            self.full_steps, self._began, self._first = total, time.monotonic(), 0

    def step(self, done: int) -> None:
        """Measure the time of a step."""
        if not self._training:
            return
        now = time.monotonic()
        if done > self._first:
            self.step_s = (now - self._began) / (done - self._first)
        if done == WARM_UP_STEPS:
            self._began, self._first = now, done
        elif done >= TIMED_STEPS or (done > WARM_UP_STEPS and now - self._began > self._max_s):
            raise TimingDone


def time_step(plan: TrainPlan, max_s: float) -> tuple[float, int]:
    """Seconds per step of a plan, and its number of steps."""
    watch = Stopwatch(min(max_s, TIMED_S))
    with tempfile.TemporaryDirectory() as folder, suppress(TimingDone):
        train.run(plan, out=Path(folder) / "timing", progress=watch)
    return watch.step_s, watch.full_steps


def choose_fraction(
    plans: Sequence[TrainPlan], budget_s: float, file: Path, schedule_fraction: float | None
) -> tuple[float, list[int]]:
    """Choose the fraction of the recipes, or read the one of an earlier start.

    Args:
        plans: The plans of the arms.
        budget_s: Time for all arms together, in seconds.
        file: The file that stores the fraction.
        schedule_fraction: The fraction from the command line; None derives it from the budget.

    Returns:
        The fraction, and the number of steps of every whole recipe.
    """
    if not file.exists():
        began = time.monotonic()
        timed = [time_step(plan, budget_s / (20 * len(plans)) if schedule_fraction is None else 0.0) for plan in plans]
        if schedule_fraction is None:
            schedule_fraction = affordable(timed, budget_s - (time.monotonic() - began))
        facts = {
            "schedule_fraction": schedule_fraction,
            "full_steps": [steps for _, steps in timed],
            "step_s": [step_s for step_s, _ in timed],
        }
        write_text(file, json.dumps(facts) + "\n")
    facts = json.loads(file.read_text(encoding="utf-8"))
    return facts["schedule_fraction"], facts["full_steps"]


def affordable(timed: Iterable[tuple[float, int]], budget_s: float) -> float:
    """The largest fraction of the recipes that fits into the budget, at least one step of the longest recipe."""
    timed = list(timed)
    total = sum(step_s * steps for step_s, steps in timed)
    return min(1.0, max(budget_s / total, 1 / max(steps for _, steps in timed)))


def folder_of(label: str, out: Path) -> Path:
    """The run folder of an arm."""
    return out / re.sub(r"\W+", "-", label)


def evaluate_ensemble(combination: Combination, plan: TrainPlan, out: Path) -> list[ModelScore]:
    """Evaluate trained arms on the test set: every one alone, and all of them as an ensemble."""
    first, *others = (str(folder_of(label, out)) for label in combination.arms)
    plan_of_all = EvalPlan(
        model=first,
        also=tuple(others),
        snapshots=combination.snapshots,
        tta=combination.tta,
        data=plan.data,
        root=plan.root,
        batch=100,
        device=plan.device,
    )
    found = evaluate.run(plan_of_all, progress=NoProgress())
    return [replace(each, model=each.model.removeprefix(f"{out}/")) for each in (*found.single, *found.ensemble)]


def train_arm(arm: Arm, plan: TrainPlan, full_steps: int, out: Path, training_error: bool) -> Row:
    """Train an arm in its folder, or resume it there."""
    done = train.run(plan, out=folder_of(arm.label, out), progress=NoProgress())
    score = done.record.test
    train_error = None
    if training_error:
        on_training_set = EvalPlan(
            model=str(done.folder), data=plan.data, root=plan.root, split="train", batch=100, device=plan.device
        )
        train_error = 1 - evaluate.run(on_training_set, progress=NoProgress()).top1
    low, high = score.top1_interval
    classes = len(done.record.data.classes)
    model = REGISTRY.get(arm.network).create(classes=classes)
    return Row(
        arm=arm,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=done.record.steps,
        steps_per_epoch=done.record.data.train // done.record.recipe["batch"],
        full_steps=full_steps,
        test_error=1 - score.top1,
        test_interval=(1 - high, 1 - low),
        train_error=train_error,
        curve=tuple(row["loss"] for row in done.record.curve),
        seconds=done.record.seconds["training"],
        precision=done.record.precision,
    )


# ---------------------------------------------------------------------- table and plot


def write(
    experiment: Experiment, rows: Sequence[Row], out: Path, combined: Mapping[str, Sequence[ModelScore]] | None = None
) -> None:
    """Write the table and the plot of the rows so far, and in the end the results of the ensembles."""
    found = experiment.findings({row.arm.label: row for row in rows}) if len(rows) == len(experiment.arms) else []
    documents: list[dict[str, Any]] = [asdict(row) | {"fraction": row.fraction} for row in rows]
    document = {"title": experiment.title, "rows": documents, "findings": found, "ensembles": to_json(combined or {})}
    write_text(out / "results.json", json.dumps(document, indent=1) + "\n")
    write_text(out / "results.md", table(experiment.title, rows, found) + ensemble_tables(combined or {}))
    write_text(out / "curves.svg", curves(experiment.title, rows))


def line_of(row: Row) -> str:
    """Format a row as a line of a Markdown table."""
    cells = [
        row.arm.label,
        count(row.parameters),
        f"`{row.arm.recipe}`, {row.precision}",
        f"{count(row.steps)} of {count(row.full_steps)} ({percent(row.fraction)})",
        percent(row.train_error),
        f"{percent(row.test_error)} ({interval(row.test_interval)})",
        format_duration(row.seconds),
    ]
    return f"| {' | '.join(cells)} |"


def table(title: str, rows: Sequence[Row], found: Sequence[str]) -> str:
    """Format the rows and the findings as Markdown."""
    lines = [
        f"# {title}",
        "",
        "| network | parameters | recipe | steps | training error | test error (95 % interval) | time |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
        *map(line_of, rows),
    ]
    return "\n".join([*lines, *(f"\n{each}" for each in found), "\n![training loss](curves.svg)"]) + "\n"


def ensemble_tables(combined: Mapping[str, Sequence[ModelScore]]) -> str:
    """Format the results of the ensembles as Markdown, one table each."""
    lines: list[str] = []
    for label, scores in combined.items():
        lines += [
            f"\n## {label}\n",
            "| network | TTA | top-1 error | top-5 error | loss | gain over the first (95 % interval) |",
            "| --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for score in scores:
            gain = score.gain
            difference = (
                ""
                if gain is None
                else "{:+.2f} points ({:+.2f} to {:+.2f})".format(*(100 * each for each in (gain.top1, *gain.interval)))
            )
            figures = (percent(score.top1_error), percent(score.top5_error), f"{score.loss:.4f}", difference)
            lines.append(f"| {' | '.join((score.model, score.tta or '', *figures))} |")
    return "\n".join(lines) + "\n" if lines else ""


STYLE = """<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .grid { stroke: #d8dee4 } polyline { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #30363d } }
</style>"""
COLOURS = ("#3b7dd8", "#d1603d", "#3d9a5f", "#8e5bc0", "#c2952b", "#2a9d9d")


def curves(title: str, rows: Sequence[Row]) -> str:
    """Plot the training loss against the fraction of the schedule, as SVG for light and dark pages.

    Every arm has a line. Arms that differ only in the seed (``label, seed 1``) have the same colour and name.
    """
    width, height, left, bottom, top = 560.0, 320.0, 48.0, 40.0, 36.0
    right = width - 150
    largest = max((loss for row in rows for loss in row.curve), default=0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(largest / 4))
    tick = next(power * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if largest / 4 <= power * factor)
    highest = 4 * tick

    def x(fraction: float) -> float:
        return left + fraction * (right - left)

    def y(loss: float) -> float:
        return height - bottom - loss / highest * (height - bottom - top)

    parts = [f'<text x="{left}" y="18">{escape(title)}: training loss</text>']
    for quarter in range(5):
        loss, fraction = tick * quarter, quarter / 4
        parts += [
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y(loss):.1f}" y2="{y(loss):.1f}"/>',
            f'<text x="{left - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.3g}</text>',
            f'<text x="{x(fraction):.1f}" y="{height - bottom + 16}" text-anchor="middle">{fraction:.0%}</text>',
        ]
    parts.append(
        f'<text x="{(left + right) / 2}" y="{height - 6}" text-anchor="middle">fraction of the schedule</text>'
    )
    kinds = [row.arm.label.partition(", seed")[0] for row in rows]
    colours = dict(zip(dict.fromkeys(kinds), itertools.cycle(COLOURS), strict=False))
    for row, kind in zip(rows, kinds, strict=True):
        epochs = len(row.curve)
        ends = [min((i + 1) * row.steps_per_epoch, row.steps) / row.steps for i in range(epochs)]
        line = " ".join(f"{x(end):.1f},{y(loss):.1f}" for end, loss in zip(ends, row.curve, strict=True))
        if epochs == 1:  # a line needs two points
            line = f"{x(0):.1f},{y(row.curve[0]):.1f} {line}"
        parts.append(f'<polyline points="{line}" stroke="{colours[kind]}"/>')
    parts += [
        f'<text x="{right + 12}" y="{top + 18 * position + 8}" style="fill: {colour}">{escape(kind)}</text>'
        for position, (kind, colour) in enumerate(colours.items())
    ]
    description = "; ".join(f"{row.arm.label} has a final loss of {row.curve[-1]:.3f}" for row in rows)
    inner = "\n".join([STYLE, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="Training loss. {escape(description)}.">{inner}</svg>\n'
    )


def ranking(rows: Sequence[Row]) -> str:
    """A sentence that lists the arms by test error, the lowest first."""
    best = sorted(rows, key=lambda row: row.test_error)
    return "Test error, lowest first: " + ", ".join(f"{row.arm.label} {percent(row.test_error)}" for row in best) + "."
