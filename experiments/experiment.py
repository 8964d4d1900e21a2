"""What the experiments schedule_fraction: arms trained by the one job within a budget, a table and a plot of them.

An experiment gives every arm the same share of its recipe. The share follows from the budget and from the time of a
step, measured by the job itself on the same images. Schedules are compressed, never cut off, and the table says how
far.
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

if "torch" not in sys.modules:  # as the command does; later it would have no effect
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

TIMED_STEPS, TIMED_S, WARM_STEPS = 60, 20.0, 3
"""A step is timed over so many steps or seconds, whichever is over first, after some that do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One training of an experiment.

    Args:
        label: What table and plot call it.
        network: Its name in the registry.
        recipe: How it is trained.
        precision: Of the arithmetic; None takes the command's.
        seed: Added to the command's.
        snapshots: Cycles of the rate in place of the recipe's schedule; None takes the recipe's.
    """

    label: str
    network: str
    recipe: str
    precision: Precision | None = None
    seed: int = 0
    snapshots: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Finished arms measured together, beside each one alone.

    Args:
        label: What the table calls them.
        arms: Their labels.
        snapshots: Whether the first one's snapshots stand in for it.
        tta: How each image is looked at several times; None looks once.
    """

    label: str
    arms: tuple[str, ...]
    snapshots: bool = False
    tta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of an arm.

    Args:
        arm: Which.
        parameters: Of the network.
        steps: Taken.
        steps_a_pass: Over all training images.
        full_steps: Of the whole recipe.
        test_error: Share of the test images that are wrong.
        test_interval: 95 % interval of it.
        train_error: The same of the training images; None where nobody asked.
        curve: Mean training loss of each pass; the last may be a part of one.
        seconds: Of the training.
        precision: Of its arithmetic.
    """

    arm: Arm
    parameters: int
    steps: int
    steps_a_pass: int
    full_steps: int
    test_error: float
    test_interval: tuple[float, float]
    train_error: float | None
    curve: tuple[float, ...]
    seconds: float
    precision: str

    @property
    def fraction(self) -> float:
        """Share of the recipe's steps that were taken."""
        return self.steps / self.full_steps


Finding = Callable[[dict[str, Row]], list[str]]
"""Sentences that follow from the rows by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A question, and the arms that answer it.

    Args:
        title: Of table and plot.
        data: The name of a standard set, or a folder, where the command names none.
        arms: What is trained.
        findings: What may be said of the rows.
        training_error: Whether the training images are classified too, at the end.
        joins: What is measured together, at the end.
    """

    title: str
    data: str
    arms: tuple[Arm, ...]
    findings: Finding
    training_error: bool = False
    joins: tuple[Join, ...] = ()


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> list[Row]:
    """Run an experiment as the command line asks.

    ``results.json``, ``results.md`` and ``curves.svg`` go to ``--out`` and are rewritten after each arm. The command
    resumes where it stopped, with the fraction of the schedule that it chose then (``schedule_fraction.json``).
    """
    parser = argparse.ArgumentParser(description=experiment.title)
    parser.add_argument("--data", default=experiment.data, help="images, as striate train takes them")
    parser.add_argument("--root", help="where the files of a standard set are")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--budget", type=seconds_of, default="1h", help="time for all arms together: 90s, 30m, 2h")
    extent.add_argument("--schedule-fraction", type=float, help="of every arm's recipe, however long it takes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, the table and the plot")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="of the arithmetic")
    parser.add_argument("--device")
    given = parser.parse_args(arguments)
    parts = scan(given.data, root=given.root).splits or ()
    if experiment.training_error and "train" not in parts:
        parser.error(f"{given.data} does not say which images are for training, whose error is asked for")
    if experiment.joins and "test" not in parts:
        parser.error(f"{given.data} does not say which images are for testing, by which networks are compared")
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
    schedule_fraction, full = agreed(plans, given.budget, given.out / "schedule_fraction.json", given.schedule_fraction)
    print(f"{schedule_fraction:.2%} of each recipe", flush=True)
    rows = []
    for arm, plan, full_steps in zip(experiment.arms, plans, full, strict=True):
        rows.append(
            trained(
                arm,
                replace(plan, schedule_fraction=schedule_fraction),
                full_steps,
                given.out,
                experiment.training_error,
            )
        )
        write(experiment, rows, given.out)  # what is done is not lost
        print(line_of(rows[-1]), flush=True)
    if experiment.joins:
        joined = {join.label: together(join, plans[0], given.out) for join in experiment.joins}
        write(experiment, rows, given.out, joined)
    return rows


def seconds_of(text: str) -> float:
    """``90s``, ``30m`` or ``2h`` in seconds.

    Example:
        >>> seconds_of("1.5h")
        5400.0
    """
    try:
        return parse_duration(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# ---------------------------------------------------------------------- time


class Enough(Exception):  # noqa: N818 (no error)
    """The step has been timed."""


class Stopwatch(NoProgress):
    """Times the steps of a training and then stops it."""

    def __init__(self, max_s: float) -> None:
        self.full_steps, self.step_s = 0, 0.0
        self._max_s, self._training, self._began, self._first = max_s, False, 0.0, 0

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """The training says how many steps it would take."""
        self._training = name == "training"
        if self._training:
            assert total is not None
            self.full_steps, self._began, self._first = total, time.monotonic(), 0

    def step(self, done: int) -> None:
        """Take the time."""
        if not self._training:
            return
        now = time.monotonic()
        if done > self._first:
            self.step_s = (now - self._began) / (done - self._first)
        if done == WARM_STEPS:
            self._began, self._first = now, done
        elif done >= TIMED_STEPS or (done > WARM_STEPS and now - self._began > self._max_s):
            raise Enough


def timing(plan: TrainPlan, max_s: float) -> tuple[float, int]:
    """Seconds of a step of a plan, and its steps in all."""
    watch = Stopwatch(min(max_s, TIMED_S))
    with tempfile.TemporaryDirectory() as folder, suppress(Enough):
        train.run(plan, Path(folder) / "timing", watch)
    return watch.step_s, watch.full_steps


def agreed(
    plans: Sequence[TrainPlan], budget_s: float, kept: Path, schedule_fraction: float | None
) -> tuple[float, list[int]]:
    """The share of every arm, and the steps of their whole recipes; those of an earlier start where there was one.

    Args:
        plans: The arms'.
        budget_s: Time for all of them.
        kept: The file that remembers.
        schedule_fraction: What was asked for in place of a budget; None finds what the budget allows.
    """
    if not kept.exists():
        began = time.monotonic()
        timed = [timing(plan, budget_s / (20 * len(plans)) if schedule_fraction is None else 0.0) for plan in plans]
        if schedule_fraction is None:
            schedule_fraction = affordable(timed, budget_s - (time.monotonic() - began))
        facts = {
            "schedule_fraction": schedule_fraction,
            "full_steps": [steps for _, steps in timed],
            "step_s": [step_s for step_s, _ in timed],
        }
        write_text(kept, json.dumps(facts) + "\n")
    facts = json.loads(kept.read_text(encoding="utf-8"))
    return facts["schedule_fraction"], facts["full_steps"]


def affordable(timed: Iterable[tuple[float, int]], budget_s: float) -> float:
    """The share of their schedules that all arms can have together, at least a step of the longest."""
    timed = list(timed)
    whole = sum(step_s * steps for step_s, steps in timed)
    return min(1.0, max(budget_s / whole, 1 / max(steps for _, steps in timed)))


def folder_of(label: str, out: Path) -> Path:
    """Where the arm of that label is trained."""
    return out / re.sub(r"\W+", "-", label)


def together(join: Join, plan: TrainPlan, out: Path) -> list[ModelScore]:
    """Finished arms on the test images of a plan's data, each alone and all as one, by their names in `out`."""
    first, *others = (str(folder_of(label, out)) for label in join.arms)
    asked = EvalPlan(
        model=first,
        also=tuple(others),
        snapshots=join.snapshots,
        tta=join.tta,
        data=plan.data,
        root=plan.root,
        batch=100,
        device=plan.device,
    )
    found = evaluate.run(asked, NoProgress())
    return [replace(way, model=way.model.removeprefix(f"{out}/")) for way in (*found.single, *found.ensemble)]


def trained(arm: Arm, plan: TrainPlan, full_steps: int, out: Path, training_error: bool) -> Row:
    """Train an arm in its folder, or go on with it there."""
    done = train.run(plan, folder_of(arm.label, out), NoProgress())
    score = done.record.test
    wrong = None
    if training_error:
        asked = EvalPlan(
            model=str(done.folder), data=plan.data, root=plan.root, split="train", batch=100, device=plan.device
        )
        wrong = 1 - evaluate.run(asked, NoProgress()).top1
    low, high = score.top1_interval
    classes = len(done.record.data.classes)
    model = REGISTRY.get(arm.network).create(classes=classes)
    return Row(
        arm=arm,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=done.record.steps,
        steps_a_pass=done.record.data.train // done.record.recipe["batch"],
        full_steps=full_steps,
        test_error=1 - score.top1,
        test_interval=(1 - high, 1 - low),
        train_error=wrong,
        curve=tuple(row["loss"] for row in done.record.curve),
        seconds=done.record.seconds["training"],
        precision=done.record.precision,
    )


# ---------------------------------------------------------------------- table and plot


def write(
    experiment: Experiment, rows: Sequence[Row], out: Path, joined: Mapping[str, Sequence[ModelScore]] | None = None
) -> None:
    """Put table and plot of the rows so far into a folder, at the end with what was measured together."""
    found = experiment.findings({row.arm.label: row for row in rows}) if len(rows) == len(experiment.arms) else []
    kept: list[dict[str, Any]] = [asdict(row) | {"fraction": row.fraction} for row in rows]
    document = {"title": experiment.title, "rows": kept, "findings": found, "together": to_json(joined or {})}
    write_text(out / "results.json", json.dumps(document, indent=1) + "\n")
    write_text(out / "results.md", table(experiment.title, rows, found) + standings(joined or {}))
    write_text(out / "curves.svg", curves(experiment.title, rows))


def line_of(row: Row) -> str:
    """A row as a line of a Markdown table."""
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
    """The rows as Markdown, and what follows from them."""
    lines = [
        f"# {title}",
        "",
        "| network | parameters | recipe | steps | training error | test error (95 % interval) | time |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
        *map(line_of, rows),
    ]
    return "\n".join([*lines, *(f"\n{each}" for each in found), "\n![training loss](curves.svg)"]) + "\n"


def standings(joined: Mapping[str, Sequence[ModelScore]]) -> str:
    """What was measured together as Markdown, a table each."""
    lines: list[str] = []
    for label, ways in joined.items():
        lines += [
            f"\n## {label}\n",
            "| network | views | top-1 error | top-5 error | loss | beyond the first (95 % interval) |",
            "| --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for way in ways:
            gain = way.gain
            apart = (
                ""
                if gain is None
                else "{:+.2f} points ({:+.2f} to {:+.2f})".format(*(100 * each for each in (gain.top1, *gain.interval)))
            )
            figures = (percent(way.top1_error), percent(way.top5_error), f"{way.loss:.4f}", apart)
            lines.append(f"| {' | '.join((way.model, way.tta or '', *figures))} |")
    return "\n".join(lines) + "\n" if lines else ""


STYLE = """<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .grid { stroke: #d8dee4 } polyline { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #30363d } }
</style>"""
COLOURS = ("#3b7dd8", "#d1603d", "#3d9a5f", "#8e5bc0", "#c2952b", "#2a9d9d")


def curves(title: str, rows: Sequence[Row]) -> str:
    """Training loss against the part of the schedule that is over, as SVG for light and dark pages.

    There is a line an arm; arms that differ in the seed alone (``label, seed 1``) share a colour and a name.
    """
    width, height, left, bottom, top = 560.0, 320.0, 48.0, 40.0, 36.0
    right = width - 150
    greatest = max((loss for row in rows for loss in row.curve), default=0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(greatest / 4))
    rung = next(power * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if greatest / 4 <= power * factor)
    highest = 4 * rung

    def x(part: float) -> float:
        return left + part * (right - left)

    def y(loss: float) -> float:
        return height - bottom - loss / highest * (height - bottom - top)

    parts = [f'<text x="{left}" y="18">{escape(title)}: training loss</text>']
    for quarter in range(5):
        loss, part = rung * quarter, quarter / 4
        parts += [
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y(loss):.1f}" y2="{y(loss):.1f}"/>',
            f'<text x="{left - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.3g}</text>',
            f'<text x="{x(part):.1f}" y="{height - bottom + 16}" text-anchor="middle">{part:.0%}</text>',
        ]
    parts.append(f'<text x="{(left + right) / 2}" y="{height - 6}" text-anchor="middle">of the steps taken</text>')
    kinds = [row.arm.label.partition(", seed")[0] for row in rows]
    colours = dict(zip(dict.fromkeys(kinds), itertools.cycle(COLOURS), strict=False))
    for row, kind in zip(rows, kinds, strict=True):
        passes = len(row.curve)
        ends = [min((i + 1) * row.steps_a_pass, row.steps) / row.steps for i in range(passes)]
        line = " ".join(f"{x(end):.1f},{y(loss):.1f}" for end, loss in zip(ends, row.curve, strict=True))
        if passes == 1:  # a line of one point would not show
            line = f"{x(0):.1f},{y(row.curve[0]):.1f} {line}"
        parts.append(f'<polyline points="{line}" stroke="{colours[kind]}"/>')
    parts += [
        f'<text x="{right + 12}" y="{top + 18 * place + 8}" style="fill: {colour}">{escape(kind)}</text>'
        for place, (kind, colour) in enumerate(colours.items())
    ]
    says = "; ".join(f"{row.arm.label} ends at a loss of {row.curve[-1]:.3f}" for row in rows)
    inner = "\n".join([STYLE, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="Training loss. {escape(says)}.">{inner}</svg>\n'
    )


def ordered(rows: Sequence[Row]) -> str:
    """The arms from the least test error to the greatest, in a sentence."""
    best = sorted(rows, key=lambda row: row.test_error)
    return "Test error, least first: " + ", ".join(f"{row.arm.label} {percent(row.test_error)}" for row in best) + "."
