"""Results for people, on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from striate.records.bench import BenchRow
from striate.records.results import (
    Candidate,
    DepthPoint,
    EvalRecord,
    FitRecord,
    PublishRecord,
    Score,
    Standing,
    TrainRecord,
)
from striate.records.sizes import MemoryRecord, SizeRecord
from striate.report.findings import judged_on
from striate.report.shares import whereabouts
from striate.report.verdict import GRAVE_PROBLEMS, is_winner, judge, name_of
from striate.report.words import compact, count, duration, interval, percent, plural, printable, storage

if TYPE_CHECKING:
    from striate.jobs.keras_table import KerasRow

PIPE_WIDTH = 160
FEW_FILES = 5
MANY_CLASSES = 40


def show_fit(record: FitRecord, folder: Path, *, finished_before: bool = False) -> None:
    """A finished `fit`: the verdict, the candidates, accuracy by depth, and where the report is."""
    console, verdict = _console(), judge(record)
    if finished_before:
        console.print(f"This run was finished before; its figures, from {folder}:")
    _table(
        console,
        f"Candidates, on {judged_on(record)}",
        ("", "candidate", "top-1", "95 % interval", "epochs", "time"),
        [_candidate(each, chosen=is_winner(each, record)) for each in record.candidates],
        numbers=(2, 3, 4, 5),
    )
    for each in record.candidates:
        if each.status == "skipped":
            _say(console, f"Skipped: {name_of(each)}, {each.reason}.")
    if record.depth:
        _table(
            console,
            "Accuracy by depth, linear probes on frozen features",
            ("stage", "channels", "top-1", "95 % interval", ""),
            [_depth(point, record.chosen.reused_stages) for point in record.depth],
            numbers=(1, 2, 3),
        )
    _score_lines(console, record.test)
    _say(console, f"\n{verdict.headline}.", style="bold")
    _say(console, verdict.evidence)
    _say(console, verdict.choice)
    if verdict.note:
        _say(console, verdict.note)
    for warning in verdict.warnings:
        _say(console, f"warning: {warning}", style="yellow")
    console.print(f"\nreport: {folder / 'report.html'}", soft_wrap=True)
    console.print(f"next:   striate predict {folder} PICTURE", soft_wrap=True)


def _candidate(candidate: Candidate, *, chosen: bool) -> tuple[str, ...]:
    mark, name = ("*" if chosen else ""), name_of(candidate)
    if candidate.validation is None:
        return (mark, name, "skipped", "-", "-", "-")
    return (
        mark,
        name,
        percent(candidate.validation.top1),
        interval(candidate.validation.top1_interval),
        count(candidate.epochs) if candidate.epochs else "-",
        duration(candidate.seconds),
    )


def _depth(point: DepthPoint, reused: Sequence[str]) -> tuple[str, ...]:
    state = "kept as it was" if point.stage in reused else ""
    return (point.stage, count(point.channels), percent(point.top1), interval(point.top1_interval), state)


def show_train(record: TrainRecord, folder: Path) -> None:
    """A finished `train`: its test figures and its folder."""
    console = _console()
    console.print(
        f"{record.network}: {plural(record.steps, 'step')}, {duration(record.seconds['total'])}", style="bold"
    )
    _score_lines(console, record.test)
    for problem in record.data.problems:
        if problem.kind in GRAVE_PROBLEMS:
            _say(console, f"warning: {problem.detail}", style="yellow")
    console.print(f"\nreport: {folder / 'report.html'}", soft_wrap=True)
    if record.snapshots:
        ask = f"striate eval {folder} {record.plan['data']} --snapshots"
        console.print(f"next:   {ask} (all {record.snapshots}, beside the last)", soft_wrap=True)
        return
    console.print(f"next:   striate predict {folder} PICTURE", soft_wrap=True)


def show_evaluation(record: EvalRecord, data: str) -> None:
    """A finished `eval`: every network beside all together, the figures of the last of these, a row for every class."""
    console, ways = _console(), (*record.single, *record.ensemble)
    console.print(printable(f"{_who(ways[-1])} on {data}"), style="bold")
    if len(ways) > 1:
        _table(
            console,
            None,
            ("", "top-1", "95 % interval", "top-5", "loss", "gain"),
            [_way(each) for each in ways],
            numbers=(1, 2, 3, 4),
        )
        _say(console, f"gain: points of top-1 beyond {_who(ways[0])}, with their 95 % interval")
        console.print()
    _score_lines(console, record)
    rows = [
        (row.label, percent(row.precision), percent(row.recall), percent(row.f1), count(row.n))
        for row in record.per_class
        if row.n or row.precision is not None
    ]
    if len(rows) > MANY_CLASSES:
        console.print(f"\n{plural(len(rows), 'class', 'classes')}; --json has a row for each")
        return
    _table(console, "By class", ("class", "precision", "recall", "F1", "pictures"), rows, numbers=(1, 2, 3, 4))


def _who(way: Standing) -> str:
    return way.model if way.views is None else f"{way.model}, {way.views}"


def _way(way: Standing) -> tuple[str, ...]:
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
    lines = (
        (
            "top-1",
            f"{percent(score.top1)}  (95 % interval {interval(score.top1_interval)}, {plural(score.n, 'picture')})",
        ),
        ("top-5", percent(score.top5)),
        ("errors", f"{percent(1 - score.top1)} top-1, {percent(1 - score.top5)} top-5"),
        ("balanced", percent(score.balanced_accuracy)),
        ("macro-F1", percent(score.macro_f1)),
        ("calibration", f"{percent(score.ece)} expected error"),
    )
    console.print()
    for name, value in lines:
        console.print(f"{name:<12} {value}")


def show_published(record: PublishRecord) -> None:
    """What was published, and how it is used."""
    console = _console()
    rows = [(name, storage(size)) for name, size in record.files.items()]
    _table(console, None, ("file", "size"), rows, numbers=(1,))
    console.print(f"\nlicence:   {record.licence}", soft_wrap=True, markup=False)
    console.print(f"published: {record.url or record.to}", soft_wrap=True, markup=False)
    console.print(f"next:      striate fit DATA --backbone {record.to}", soft_wrap=True, markup=False)


def show_predictions(rows: Iterable[Mapping[str, Any]]) -> None:
    """A finished `predict`: a line for every picture and name."""
    _table(
        _console(),
        None,
        ("picture", "", "name"),
        [
            (row["file"] if rank == 0 else "", percent(each["probability"]), each["label"])
            for row in rows
            for rank, each in enumerate(row["predictions"])
        ],
        numbers=(1,),
    )


def show_models(rows: Sequence[Mapping[str, Any]], *, weights: bool) -> None:
    """The networks, and with `weights` each one's published weights."""
    console = _console()
    if not weights:
        _table(
            console,
            None,
            ("network", "task", "year", "file", "params", "depth", "MACs", "top-1", "top-5", "as published for"),
            [
                (
                    row["name"],
                    row["task"],
                    str(row["year"]),
                    storage(row["file_bytes"]),
                    compact(row["params"]),
                    str(row["depth"]),
                    compact(row["macs"]),
                    *_published(row["published"]),
                )
                for row in rows
            ],
            numbers=(2, 3, 4, 5, 6, 7, 8),
        )
        console.print(f"{plural(len(rows), 'network')}; depth counts layers with weights; --weights lists all weights")
        return
    listed = [(row["name"], each) for row in rows for each in row["weights"]]
    _table(
        console,
        None,
        ("network:weights", "labels", "published top-1", "licence", "file"),
        [
            (
                f"{name}:{each['tag']}",
                each["labels"],
                f"{each['metric']['top1']} % on {each['metric']['dataset']}" if each["metric"] else "-",
                each["licence"],
                "in the package" if each["bundled"] else each["file"],
            )
            for name, each in listed
        ],
    )
    console.print(f"{plural(len(listed), 'checkpoint')} of {plural(len(rows), 'network')}")


def _published(best: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if best is None:
        return ("-", "-", "-")
    top5 = "-" if best["top5"] is None else f"{best['top5']:.1f} %"
    return (f"{best['top1']:.1f} %", top5, f"{best['source']} {best['weights']}, {best['dataset']}")


def show_size(size: SizeRecord) -> None:
    """A network's layers, its stages, where most of it sits, and the totals."""
    console, totals = _console(), size.totals
    _table(
        console,
        None,
        ("layer", "type", "output", "units", "params", "MACs", "sees", "step"),
        [
            (
                row.name,
                row.type,
                "x".join(map(str, row.output)),
                *(count(each) if each else "" for each in (row.units, row.params, row.macs)),
                _pair(row.receptive_field),
                _pair(row.stride),
            )
            for row in size.layers
        ],
        numbers=(2, 3, 4, 5, 6, 7),
    )
    _table(
        console,
        "By stage",
        ("stage", "layers", "output", "units", "weights", "MACs", "of all", "activations", "sees", "step"),
        [
            (
                row.name or "(between)",
                str(row.layers),
                "x".join(map(str, row.output)),
                *(compact(each) if each else "" for each in (row.units, row.weights, row.macs)),
                percent(row.macs / totals.macs) if totals.macs else "-",
                storage(row.activation_bytes),
                _pair(row.receptive_field),
                _pair(row.stride),
            )
            for row in size.stages
        ],
        numbers=tuple(range(1, 10)),
    )
    _table(
        console,
        "Where most of it sits",
        ("", "in all", "most in", "share", "largest layer", "share", "convolutions", "dense layers"),
        [
            (
                each.quantity,
                count(each.total),
                each.stage,
                percent(each.stage_share),
                each.layer,
                percent(each.layer_share),
                percent(each.conv_share),
                percent(1 - each.conv_share),
            )
            for each in whereabouts(size)
        ],
        numbers=(1, 3, 5, 6, 7),
    )
    console.print()
    lines = (
        ("network", size.name),
        ("input", "x".join(map(str, size.input))),
        ("classes", count(size.classes)),
        ("parameters", count(totals.params)),
        ("file", f"{storage(totals.file_bytes)}, with the statistics of normalisations"),
        ("depth", f"{plural(totals.depth, 'layer')} with weights"),
        ("weights", count(totals.weights)),
        ("units", count(totals.units)),
        ("connections", count(totals.connections)),
        ("multiply-adds", count(totals.macs)),
        ("activations", f"{storage(totals.activation_bytes)} at batch 1"),
        ("sees", f"{_pair(totals.receptive_field)} px, in steps of {_pair(totals.stride)} px, where its head begins"),
    )
    for name, value in lines:
        console.print(f"{name:<14} {value}")
    if size.note:
        _say(console, size.note, style="yellow")
    if size.memory is not None:
        _show_memory(console, size, size.memory)


def _show_memory(console: Console, size: SizeRecord, memory: MemoryRecord) -> None:
    modes = ("forward", memory.forward), (f"training ({memory.optimiser})", memory.training)
    channels = size.input[0]
    _table(
        console,
        f"What fits into {storage(memory.given_bytes)}",
        ("", "at batch 1", "largest batch", "largest picture"),
        [
            (
                mode,
                storage(fits.peak_bytes),
                count(fits.largest_batch),
                f"{channels}x{fits.largest_side}x{fits.largest_side}" if fits.largest_side else "none",
            )
            for mode, fits in modes
        ],
        numbers=(1, 2, 3),
    )
    kept = sum(memory.kept_bytes.values())
    stage = max(memory.kept_bytes, key=memory.kept_bytes.__getitem__)
    share = memory.kept_bytes[stage] / kept
    console.print(
        f"Training keeps {storage(kept)} a picture for the backward pass, {percent(share)} of it from {stage}."
    )


def show_bench(rows: Sequence[BenchRow]) -> None:
    """Networks and their times on this machine."""
    console = _console()
    _table(
        console,
        None,
        ("network", "input", "inference", "95 % interval", "training step", "95 % interval", "pictures/s", "top-1"),
        [
            (
                row.name,
                "x".join(map(str, row.input)),
                f"{row.forward_ms:.1f} ms",
                "{:.1f} to {:.1f}".format(*row.forward_interval_ms),
                f"{row.step_ms:.1f} ms",
                "{:.1f} to {:.1f}".format(*row.step_interval_ms),
                count(row.pictures_per_s),
                "-" if row.top1 is None else f"{row.top1:.1f} %",
            )
            for row in rows
        ],
        numbers=(1, 2, 3, 4, 5, 6, 7),
    )
    for first in rows[:1]:
        where = f"{first.device}, {plural(first.threads, 'thread')}" if first.threads else first.device
        console.print(f"{where}; {plural(first.batch, 'picture')} at a time; medians; accuracy as published, ImageNet")


def show_keras_table(rows: Sequence[KerasRow]) -> None:
    """The published table of Keras Applications beside what our networks count."""
    console = _console()
    _table(
        console,
        "As printed, and as our networks count",
        ("Keras", "network", "MB", "MiB counted", "params", "counted", "depth", "counted", ""),
        [
            (
                row.published.keras,
                row.published.network,
                str(row.published.size_mb),
                "-" if row.size_mib is None else f"{row.size_mib:.1f}",
                f"{row.published.params_m} M",
                "-" if row.params is None else count(row.params),
                str(row.published.depth),
                "-" if row.depth is None else str(row.depth),
                "missing" if row.params is None else "wrong" if row.wrong else "right",
            )
            for row in rows
        ],
        numbers=(2, 3, 4, 5, 6, 7),
    )
    for row in rows:
        for each in row.wrong:
            _say(console, f"{row.published.keras}: {each}.", style="yellow")
    right = sum(not row.wrong for row in rows)
    console.print(f"{right} of {plural(len(rows), 'row')} follow from the networks")


def _pair(sides: tuple[int, int] | None) -> str:
    return "?" if sides is None else "x".join(map(str, sides))


def show_check(found: Mapping[str, Any]) -> None:
    """Classes, and what a person should know of the pictures."""
    console = _console()
    _table(
        console,
        None,
        ("class", "pictures"),
        [(name, count(number)) for name, number in found["classes"].items()],
        numbers=(1,),
    )
    console.print(f"{plural(found['pictures'], 'picture')}, {plural(len(found['classes']), 'class', 'classes')}")
    if not found["problems"]:
        console.print("no problems found")
    for problem in found["problems"]:
        files = problem["files"]
        named = ", ".join(files[:FEW_FILES]) + (
            f" and {count(len(files) - FEW_FILES)} more" if len(files) > FEW_FILES else ""
        )
        _say(console, f"\n{problem['kind']}: {problem['detail']}", style="yellow")
        if files:
            _say(console, f"  {named}")
    if "augmented" in found:
        console.print(f"\nvaried pictures: {found['augmented']}")


def _console() -> Console:
    """Standard output; where it is no terminal, nothing is folded to 80 columns."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, width=width)


def _say(console: Console, text: str, style: str | None = None) -> None:
    """A line for reading: folded at words on a terminal, left whole elsewhere."""
    lead = "\n" if text.startswith("\n") else ""
    console.print(f"{lead}{printable(text.removeprefix(lead))}", style=style, soft_wrap=not console.is_terminal)


def _table(
    console: Console,
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if position in numbers else "left",
            no_wrap=position in (0, *numbers),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    if title is not None:
        console.print(f"\n{title}", style="bold")
    console.print(table)
