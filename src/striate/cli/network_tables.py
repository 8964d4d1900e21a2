"""Networks and their sizes as tables on standard output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from striate.cli.tables import facts, open_console, say, tabulate
from striate.core.words import compact, count, percent, plural, storage
from striate.records.bench import BenchRow
from striate.records.sizes import MemoryRecord, SizeRecord
from striate.records.zoo import ModelRecord, PublishedAccuracy
from striate.report.largest import largest

if TYPE_CHECKING:
    from striate.jobs.keras_table import KerasRow


def show_models(rows: Sequence[ModelRecord], *, weights: bool, wide: bool) -> None:
    """Print the networks, or with `weights` the pretrained weights of each."""
    console = open_console(wide=wide)
    if weights:
        _show_weights(console, rows)
        return
    tabulate(
        console,
        None,
        ("network", "task", "year", "file", "params", "depth", "MACs", "top-1", "top-5", "weights", "dataset"),
        [
            (
                row.name,
                row.task,
                str(row.year),
                storage(row.file_bytes),
                compact(row.params),
                str(row.depth),
                compact(row.macs),
                *_published(row.published),
            )
            for row in rows
        ],
        numbers=(2, 3, 4, 5, 6, 7, 8),
        spare=(9, 10, 1, 3, 5),
    )
    more = ", ".join(f"{row.name} has {count(row.params + row.aux_params)}" for row in rows if row.aux_params)
    say(
        console,
        f"{plural(len(rows), 'network')}. Depth is the number of layers with weights. Accuracies are as published, for "
        "the best weights. `striate models --weights` lists all weights."
        + (f" Parameters are those without auxiliary heads; with them {more}." if more else ""),
    )


def _published(best: PublishedAccuracy | None) -> tuple[str, str, str, str]:
    if best is None:
        return ("-", "-", "-", "-")
    top5 = "-" if best.top5 is None else f"{best.top5:.1f} %"
    return (f"{best.top1:.1f} %", top5, f"{best.source} {best.weights}", best.dataset)


def _show_weights(console: Console, rows: Sequence[ModelRecord]) -> None:
    listed = [(row.name, each) for row in rows for each in row.weights]
    tabulate(
        console,
        None,
        ("network:weights", "classes", "top-1", "measured on", "licence", "file"),
        [
            (
                f"{name}:{each.tag}",
                each.labels,
                f"{each.metric.top1:.1f} %" if each.metric else "-",
                each.metric.dataset if each.metric else "-",
                each.licence,
                "bundled" if each.bundled else each.file,
            )
            for name, each in listed
        ],
        numbers=(2,),
        paths=(5,),
        spare=(5, 3, 1),
    )
    say(
        console,
        f"{len(listed):,} sets of weights for {plural(len(rows), 'network')}. Accuracies are as published.",
    )


def show_size(size: SizeRecord, *, wide: bool) -> None:
    """Print a network's layers, its stages, its largest stages and layers, and the totals."""
    console, totals = open_console(wide=wide), size.totals
    tabulate(
        console,
        None,
        ("layer", "type", "output", "units", "params", "MACs", "receptive\nfield", "output\nstride"),
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
        paths=(0,),
        spare=(3, 1, 7, 6),
    )
    tabulate(
        console,
        "Stages",
        (
            *("stage", "layers", "output", "units", "weights", "MACs", "MACs,\n% of all", "activations"),
            *("receptive\nfield", "output\nstride"),
        ),
        [
            (
                row.name or "(no stage)",
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
        spare=(3, 1, 7, 6),
    )
    _show_largest(console, size)
    _show_totals(console, size)
    if size.note:
        say(console, f"\n{size.note}", style="yellow")
    if size.memory is not None:
        _show_memory(console, size, size.memory)


def _show_largest(console: Console, size: SizeRecord) -> None:
    tabulate(
        console,
        "Largest stage and layer",
        ("", "total", "largest stage", "largest layer", "convolutional", "linear"),
        [
            (
                each.quantity,
                count(each.total),
                f"{each.stage} ({percent(each.stage_fraction)})",
                f"{each.layer} ({percent(each.layer_fraction)})",
                percent(each.conv_fraction),
                percent(1 - each.conv_fraction),
            )
            for each in largest(size)
        ],
        numbers=(1, 4, 5),
        paths=(3,),
        spare=(1, 5, 4),
    )


def _params(params: int, aux: int) -> str:
    return f"{count(params)}, with the auxiliary heads {count(params + aux)}" if aux else count(params)


def _show_totals(console: Console, size: SizeRecord) -> None:
    totals = size.totals
    console.print("\nTotals", style="bold")
    facts(
        console,
        (
            ("network", size.name),
            ("input", "x".join(map(str, size.input))),
            ("classes", count(size.classes)),
            ("parameters", _params(totals.params, totals.aux_params)),
            ("file", f"{storage(totals.file_bytes)} in float32, with the batch-norm statistics"),
            ("depth", f"{plural(totals.depth, 'layer')} with weights"),
            ("weights", count(totals.weights)),
            ("units", count(totals.units)),
            ("connections", count(totals.connections)),
            ("multiply-adds", count(totals.macs)),
            ("activations", f"{storage(totals.activation_bytes)} at batch size 1"),
            ("receptive field", f"{_pair(totals.receptive_field)} px at the input of the head"),
            ("output stride", f"{_pair(totals.stride)} px at the input of the head"),
        ),
    )


def _show_memory(console: Console, size: SizeRecord, memory: MemoryRecord) -> None:
    modes = ("inference", memory.forward), (f"training ({memory.optimiser})", memory.training)
    channels = size.input[0]
    tabulate(
        console,
        f"Estimates for {storage(memory.given_bytes)} of memory",
        ("", "memory at batch size 1", "largest batch", "largest image"),
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
    say(
        console,
        f"Training stores {storage(kept)} of activations per image for the backward pass, "
        f"{percent(memory.kept_bytes[stage] / kept)} of them in {stage}.",
    )


def show_bench(rows: Sequence[BenchRow], *, wide: bool) -> None:
    """Print inference and training times on this machine."""
    console = open_console(wide=wide)
    tabulate(
        console,
        None,
        (
            *("network", "input", "inference\nms", "95 %\ninterval", "images/s", "training step\nms"),
            *("95 %\ninterval", "top-1"),
        ),
        [
            (
                row.name,
                "x".join(map(str, row.input)),
                f"{row.forward_ms:.1f}",
                "{:.1f} to {:.1f}".format(*row.forward_interval_ms),
                count(row.images_per_s),
                f"{row.step_ms:.1f}",
                "{:.1f} to {:.1f}".format(*row.step_interval_ms),
                "-" if row.top1 is None else f"{row.top1:.1f} %",
            )
            for row in rows
        ],
        numbers=(1, 2, 3, 4, 5, 6, 7),
        spare=(7, 6, 3),
    )
    for first in rows[:1]:
        where = f"{first.device}, {plural(first.threads, 'thread')}" if first.threads else first.device
        say(
            console,
            f"Median times of a batch of {plural(first.batch, 'image')} on {where}. images/s: inference. top-1: the "
            "published ImageNet accuracy.",
        )


def show_keras_table(rows: Sequence[KerasRow], *, wide: bool) -> None:
    """Print the published table of Keras Applications next to the numbers of these networks."""
    console = open_console(wide=wide)
    tabulate(
        console,
        "Keras Applications: the published numbers and ours",
        ("Keras", "network", "MB", "MiB\nours", "params", "params\nours", "depth", "depth\nours", ""),
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
                "missing" if row.params is None else "differs" if row.wrong else "agrees",
            )
            for row in rows
        ],
        numbers=(2, 3, 4, 5, 6, 7),
        spare=(1,),
    )
    for row in rows:
        for each in row.wrong:
            say(console, f"{row.published.keras}: {each}.", style="yellow")
    right = sum(not row.wrong for row in rows)
    console.print(f"{right} of {plural(len(rows), 'row')} agree with the networks")


def _pair(sides: tuple[int, int] | None) -> str:
    return "?" if sides is None else "x".join(map(str, sides))
