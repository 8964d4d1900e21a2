"""The results of runs as tables on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from striate import tasks
from striate.cli.tables import facts, open_console, say, tabulate
from striate.core.durations import format_duration
from striate.core.words import command_line, count, interval, percent, plural, printable, storage
from striate.records.results import (
    SERIOUS_ISSUES,
    Candidate,
    EvalRecord,
    FitRecord,
    ModelScore,
    Score,
    TrainRecord,
)
from striate.records.verbs import CheckRecord, FeaturesRecord, PredictRecord, PublishRecord
from striate.report.findings import judged_on
from striate.report.verdict import is_winner, judge, name_of

if TYPE_CHECKING:
    from striate.tasks.base import Task

FEW_FILES = 5
MANY_CLASSES = 40


def _suggest(console: Console, *words: str | Path, lead: str = "next:   ", comment: str = "") -> None:
    """Print a command to run next on a line of its own, to be copied."""
    console.print(f"{lead}{printable(command_line(*words))}{comment}", soft_wrap=True)


def show_fit(record: FitRecord, folder: Path, *, finished_before: bool = False) -> None:
    """Print a finished `fit`: candidates, layer probes, test metrics, summary, and the path of the report."""
    console, verdict, task = open_console(), judge(record), tasks.get(record.task)
    if finished_before:
        console.print(printable(f"This run had already finished. Results from {folder}:"), soft_wrap=True)
    tabulate(
        console,
        f"Candidates, {judged_on(record)}",
        ("", "candidate", task.metric_title, "95 % interval", "epochs", "time"),
        [_candidate(task, each, chosen=is_winner(each, record)) for each in record.candidates],
        numbers=(2, 3, 4, 5),
    )
    for each in record.candidates:
        if each.status == "skipped":
            say(console, f"Skipped {name_of(each)}: {each.reason}.")
    if record.depth:
        tabulate(
            console,
            "Layer probes, cross-validated on the training images",
            ("layer", "channels", task.metric_title, "95 % interval", ""),
            [_depth(task, point, record.chosen.reused_stages) for point in record.depth],
            numbers=(1, 2, 3),
        )
    if record.unprobed:
        say(console, f"Not probed within the budget: {', '.join(record.unprobed)}.")
    _score_lines(console, record.test)
    say(console, f"\n{verdict.summary.headline}.", style="bold")
    say(console, verdict.summary.evidence)
    say(console, verdict.choice)
    if verdict.note and finished_before:  # a run that was just made said it when the weights were chosen
        say(console, verdict.note)
    for warning in verdict.warnings:
        say(console, f"warning: {warning}", style="yellow")
    console.print(f"\nreport: {printable(str(folder / 'report.html'))}", soft_wrap=True)
    _suggest(console, "striate", "predict", folder, "IMAGE")


def _candidate(task: type[Task], candidate: Candidate, *, chosen: bool) -> tuple[str, ...]:
    mark, name = ("*" if chosen else ""), name_of(candidate)
    if candidate.validation is None:
        return (mark, name, "skipped", "-", "-", "-")
    return (
        mark,
        name,
        task.format(task.value(candidate.validation)),
        task.format_interval(task.interval(candidate.validation)),
        count(candidate.epochs) if candidate.epochs else "-",
        format_duration(candidate.seconds),
    )


def _depth(task: type[Task], point: Any, reused: Sequence[str]) -> tuple[str, ...]:
    state = "frozen" if point.stage in reused else ""
    value, ends = task.format(task.value(point)), task.format_interval(task.interval(point))
    return (point.stage, count(point.channels), value, ends, state)


def show_train(record: TrainRecord, folder: Path) -> None:
    """Print a finished `train`: its test metrics and its folder."""
    console = open_console()
    console.print(
        f"{record.network}: {plural(record.steps, 'step')} in {format_duration(record.seconds['total'])}", style="bold"
    )
    _score_lines(console, record.test)
    for issue in record.data.issues:
        if issue.kind in SERIOUS_ISSUES:
            say(console, f"warning: {issue.detail}", style="yellow")
    console.print(f"\nreport: {printable(str(folder / 'report.html'))}", soft_wrap=True)
    if record.snapshots:
        ask = "striate", "eval", folder, record.plan["data"], "--snapshots"
        _suggest(console, *ask, comment=f"  # ensembles the {record.snapshots} snapshots")
        return
    _suggest(console, "striate", "predict", folder, "IMAGE")


def show_evaluation(record: EvalRecord, data: str, *, wide: bool) -> None:
    """Print a finished `eval`: all models side by side, the metrics of the last one, and the metrics per class."""
    console, ways = open_console(wide=wide), (*record.single, *record.ensemble)
    say(console, f"{_who(ways[-1])} on {data}", style="bold")
    if len(ways) > 1:
        tabulate(
            console,
            None,
            ("", "top-1", "95 % interval", "top-5", "loss", "gain"),
            [_way(each) for each in ways],
            numbers=(1, 2, 3, 4, 5),
            paths=(0,),
            spare=(3, 4, 2),
        )
        say(console, f"gain: top-1 accuracy minus that of {_who(ways[0])}, in percentage points (95 % interval)")
    _score_lines(console, record)
    rows = [
        (row.label, percent(row.precision), percent(row.recall), percent(row.f1), count(row.n))
        for row in record.per_class
        if row.n or row.precision is not None
    ]
    if len(rows) > MANY_CLASSES:
        console.print(f"\n{plural(len(rows), 'class', 'classes')}; --json prints the metrics of each class")
        return
    tabulate(console, "Per-class metrics", ("class", "precision", "recall", "F1", "images"), rows, numbers=(1, 2, 3, 4))


def _who(way: ModelScore) -> str:
    return way.model if way.tta is None else f"{way.model}, {way.tta}"


def _way(way: ModelScore) -> tuple[str, ...]:
    gain = way.gain
    low, high = (0.0, 0.0) if gain is None else gain.interval
    return (
        _who(way),
        percent(way.top1),
        interval(way.top1_interval),
        percent(way.top5),
        f"{way.loss:.3f}",
        "" if gain is None else f"{100 * gain.top1:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
    )


def _score_lines(console: Console, score: Score) -> None:
    top5 = len(score.per_class) > 5  # of five classes it is always 100 %
    lines = (
        (
            "top-1 accuracy",
            f"{percent(score.top1)} (95 % interval {interval(score.top1_interval)}, {plural(score.n, 'image')})",
        ),
        *((("top-5 accuracy", percent(score.top5)),) if top5 else ()),
        ("error", f"{percent(1 - score.top1)} top-1{f', {percent(1 - score.top5)} top-5' if top5 else ''}"),
        ("balanced accuracy", percent(score.balanced_accuracy)),
        ("macro F1", percent(score.macro_f1)),
        ("calibration error", f"{percent(score.ece)} (ECE)"),
    )
    console.print()
    facts(console, lines)


def show_published(record: PublishRecord) -> None:
    """Print what was published and how to use it."""
    console = open_console()
    rows = [(name, storage(size)) for name, size in record.files.items()]
    tabulate(console, None, ("file", "size"), rows, numbers=(1,))
    console.print(f"\nlicence:   {printable(record.licence)}", soft_wrap=True)
    console.print(f"published: {printable(record.url or record.to)}", soft_wrap=True)
    _suggest(console, "striate", "fit", "DATA", "--backbone", record.to, lead="next:      ")


def show_features(record: FeaturesRecord) -> None:
    """Print where features were written, and their shape."""
    images, width = record.shape
    lines = [("file", record.file), ("images", count(images)), ("features", f"{count(width)} ({record.stage})")]
    if record.unreadable:
        lines.append(("unreadable", f"{len(record.unreadable)} ({', '.join(list(record.unreadable)[:FEW_FILES])})"))
    facts(open_console(), lines)


def show_predictions(records: Iterable[PredictRecord], *, wide: bool) -> None:
    """Print a finished `predict`: one line per image and class."""
    tabulate(
        open_console(wide=wide),
        None,
        ("image", "probability", "class"),
        [
            (record.file if rank == 0 else "", percent(each["probability"]), each["label"])
            for record in records
            for rank, each in enumerate(record.predictions)
        ],
        numbers=(1,),
        paths=(0,),
    )


def show_check(record: CheckRecord) -> None:
    """Print the classes and the issues of a dataset."""
    console = open_console()
    tabulate(
        console,
        None,
        ("class", "images"),
        [(name, count(number)) for name, number in record.classes.items()],
        numbers=(1,),
    )
    console.print(f"{plural(record.images, 'image')}, {plural(len(record.classes), 'class', 'classes')}")
    if not record.issues:
        console.print("no issues found")
    for issue in record.issues:
        files = issue.files
        named = ", ".join(files[:FEW_FILES]) + (
            f" and {count(len(files) - FEW_FILES)} more" if len(files) > FEW_FILES else ""
        )
        say(console, f"\n{issue.kind.replace('_', ' ')}: {issue.detail}", style="yellow")
        if files:
            say(console, f"  {named}")
    if record.augmented is not None:
        console.print(f"\naugmented images: {printable(record.augmented)}", soft_wrap=True)
