"""Writes the newest figures of results.jsonl into docs/benchmarks.md and three lines of them into the README.

Only the text between the markers changes. `python benchmarks/tables.py` rewrites it; `--check` changes nothing and
fails when a page does not show the newest figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.jsonl"
README = HERE.parent / "README.md"
PAGE = HERE.parent / "docs" / "benchmarks.md"
NONE_YET = "No figures yet."

Row = dict[str, Any]

NAMES = {
    "hymenoptera": "ants and bees",
    "flowers": "five flowers",
    "cats_dogs": "cats and dogs",
    "head": "head",
    "finetune": "fine-tuning",
    "scratch": "scratch",
    "mobilenet_v2": "MobileNet v2",
    "efficientnet_lite0": "EfficientNet-Lite 0",
    "own": "the weights' own resize, to bytes",
    "own_floats": "the weights' own resize, to floats",
    "fast": "fast resize, to bytes",
    "fast_floats": "fast resize, to floats",
}
KEYS = {
    "photos": ("data", "backbone", "seed"),
    "transfer_time": ("network", "images"),
    "decode": ("images", "path"),
    "memory": ("backbone", "images"),
    "networks": ("network", "mode", "path"),
    "augment": ("what", "side"),
    "train_step": ("network", "cut", "batch", "precision", "compiled", "tuned_baselines", "against"),
}
"""The fields that identify a row of a benchmark. Of rows with equal fields, only the newest counts."""


def newest(lines: Iterable[str]) -> dict[str, list[Row]]:
    """The newest row of every key, by benchmark, in the order of the first rows."""
    found: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in KEYS}
    for line in lines:
        row = json.loads(line)
        if row["benchmark"] in KEYS:
            found[row["benchmark"]][tuple(row.get(each) for each in KEYS[row["benchmark"]])] = row
    return {name: list(rows.values()) for name, rows in found.items()}


def photos(rows: Sequence[Row]) -> str:
    """One row per data set and network: means over the seeds."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row["data"], {}).setdefault(row["backbone"], []).append(row)
    lines = [
        [
            NAMES.get(name, name),
            NAMES.get(backbone, backbone),
            *(_mean_percent(row[strategy] for row in mine) for strategy in ("head", "finetune", "scratch")),
            ", ".join(f"{NAMES[each]} {n}" for each, n in Counter(row["chosen"] for row in mine).most_common()),
            f"**{_mean_percent(row['test_top1'] for row in mine)}**",
            _mean_percent(row["head_test_top1"] for row in mine),
            " to ".join(dict.fromkeys(f"{pick(row['seconds'] for row in mine):.0f}" for pick in (min, max))) + " s",
            str(len(mine)),
        ]
        for name, networks in groups.items()
        for backbone, mine in networks.items()
    ]
    head = ["photos", "network", "head alone", "fine-tuning", "from scratch", "chosen"]
    return _table([*head, "test", "head alone, test", "time", "runs"], lines, numbers=range(2, 10))


def transfer_time(rows: Sequence[Row]) -> str:
    """One row per network."""
    lines = [
        [
            row["network"],
            f"{row['images']:,}",
            f"{row['baseline_s']:.0f} s",
            f"{row['ours_s']:.0f} s",
            f"**{row['ratio']:.1f}**",
            f"{row['bf16_ratio']:.1f}",
            f"{row['cached_s']:.1f} s",
            f"{100 * row['waiting_fraction']:.0f} %",
        ]
        for row in rows
    ]
    head = [
        "network",
        "images",
        "plain loop",
        "Striate",
        "times faster",
        "in bf16",
        "features cached",
        "waiting for input",
    ]
    return _table(head, lines, numbers=range(1, 8))


def decode(rows: Sequence[Row]) -> str:
    """One row per path."""
    lines = [
        [
            f"{row['images']} px",
            NAMES.get(row["path"], row["path"]),
            f"{row['reference_per_s']:.0f}",
            f"{row['per_s']:.0f}",
            f"**{row['ratio']:.2f}** ({row['low']:.2f} to {row['high']:.2f})",
            f"{row['mean_difference']:.2f}",
        ]
        for row in rows
    ]
    head = ["images", "path", "torchvision on Pillow /s", "Striate /s", "ratio (95 %)", "mean difference of 255"]
    return _table(head, lines, numbers=range(2, 6))


def memory(rows: Sequence[Row]) -> str:
    """One row per number of images: the peak, and its ratio to the peak with the fewest images."""
    smallest = {row["backbone"]: row for row in sorted(rows, key=lambda row: -row["images"])}
    lines = [
        [
            row["backbone"],
            f"{row['images']:,}",
            f"{row['peak_mib']:,.0f} MiB",
            f"**{row['peak_mib'] / smallest[row['backbone']]['peak_mib']:.2f}**",
        ]
        for row in sorted(rows, key=lambda row: (row["backbone"], row["images"]))
    ]
    return _table(["network", "images", "peak", "relative to the smallest"], lines, numbers=range(1, 4))


def networks(rows: Sequence[Row]) -> str:
    """One row per network: eager in both memory layouts, then the engines of `striate`."""
    columns = [
        ("forward", "forward", "contiguous"),
        ("forward, channels last", "forward", "channels last"),
        ("training step", "step", "contiguous"),
        ("step, channels last", "step", "channels last"),
        ("folded", "forward", "folded"),
        ("folded, bf16", "forward", "folded, bf16"),
        ("OpenVINO", "forward", "OpenVINO"),
        ("OpenVINO, bf16", "forward", "OpenVINO, bf16"),
    ]
    found = {(row["network"], row["mode"], row["path"]): row for row in rows}

    def cell(row: Row | None) -> str:
        return f"**{row['ratio']:.2f}** ({row['low']:.2f} to {row['high']:.2f})" if row else "-"

    lines = [
        [name, *(cell(found.get((name, mode, path))) for _, mode, path in columns)]
        for name in dict.fromkeys(row["network"] for row in rows)
    ]
    return _table(["network", *(title for title, _, _ in columns)], lines, numbers=range(1, len(columns) + 1))


def augment(rows: Sequence[Row]) -> str:
    """One row per augmentation."""

    def rate(row: Row, who: str) -> str:
        found = row["rates"].get(f"{who} /s")
        return f"{found:,.0f}" if found else "-"

    lines = [
        [
            NAMES.get(row["what"], row["what"]),
            f"{row['side']}",
            rate(row, "ours"),
            rate(row, "torchvision"),
            rate(row, "torchvision, threads"),
            rate(row, "kornia"),
            f"**{row['ratio']:.2f}** ({row['low']:.2f} to {row['high']:.2f})",
        ]
        for row in rows
    ]
    head = ["what", "px", "Striate /s", "torchvision /s", "in threads", "kornia /s", "ratio to the best (95 %)"]
    return _table(head, lines, numbers=range(1, 7))


def train_step(rows: Sequence[Row]) -> str:
    """One row per network and setting: ratios to both plain loops, and the overhead of our loop.

    Reference loops that ran with our memory settings are in results.jsonl only.
    """
    rows = [row for row in rows if not row["tuned_baselines"]]
    settings = ("network", "cut", "batch", "precision", "compiled")
    found = {(*(row[each] for each in settings), row["against"]): row for row in rows}

    def cell(row: Row | None) -> str:
        return f"**{row['ratio']:.2f}** ({row['low']:.2f} to {row['high']:.2f})" if row else "-"

    def overhead(row: Row | None) -> str:
        if row is None:
            return "-"
        low, median, high = (100 * (1 / row[each] - 1) for each in ("high", "ratio", "low"))
        return f"{median:.1f} % ({low:.1f} to {high:.1f})"

    lines = []
    for setting in dict.fromkeys(tuple(row[each] for each in settings) for row in rows):
        row = found[(*setting, "plain")]
        lines.append(
            [
                row["network"],
                "-" if row["cut"] == "-" else f"up to {row['cut']}",
                row["precision"] + (", compiled" if row["compiled"] else ""),
                f"{row['batch']} x {row['side']} px",
                f"{row['per_s']:.0f}",
                cell(row),
                cell(found.get((*setting, "timm"))),
                overhead(found.get((*setting, "minimal"))),
            ]
        )
    head = [
        "network",
        "frozen",
        "precision",
        "batch",
        "images/s",
        "plain loop",
        "timm, plain loop",
        "overhead",
    ]
    return _table(head, lines, numbers=range(4, 8))


def _mean_percent(values: Iterable[float | None]) -> str:
    given = list(values)
    known = [value for value in given if value is not None]
    if not known:
        return "skipped"
    return f"{100 * mean(known):.1f} %" + (f" ({len(known)} of {len(given)})" if len(known) < len(given) else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int]) -> str:
    if not rows:
        return NONE_YET
    right = set(numbers)
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def benchmarks(found: dict[str, list[Row]]) -> str:
    """The tables of speed, each under a line that says what it compares."""
    parts: list[tuple[str, str, Callable[[Sequence[Row]], str]]] = [
        (
            "Time to a trained head, against ten epochs through the frozen network in eager PyTorch:",
            "transfer_time",
            transfer_time,
        ),
        ("Decoding and resizing in one thread, against torchvision's transforms on Pillow:", "decode", decode),
        (
            "Speed against torchvision's network with the same weights, eager, float32, in one process; above 1 is "
            "faster (95 % interval). The last four columns are the engines with which `striate` itself runs networks "
            "on images, against the faster of torchvision's two memory layouts:",
            "networks",
            networks,
        ),
        (
            "The step of `striate train` against a plain PyTorch loop that trains the whole network in float32, with "
            "our network and with timm's of the same weights; above 1 is faster (95 % interval). The plain loop "
            "allocates its memory again in every step, so ratios grow with the batch. The overhead is the time that "
            "our step takes beyond a minimal loop in the same precision and memory layout:",
            "train_step",
            train_step,
        ),
        ("Peak memory of `striate fit` up to the trained head:", "memory", memory),
        ("Augmenting a batch of training images, against torchvision's transforms and kornia:", "augment", augment),
    ]
    return "\n\n".join(f"{title}\n\n{make(found[name])}" for title, name, make in parts if found[name])


def headlines(found: dict[str, list[Row]]) -> str:
    """Three lines for the README: time to a trained head, speed of networks, memory."""
    lines = []
    if rows := found["transfer_time"]:
        times = " and ".join(f"{row['ratio']:.0f} times as fast with {row['network']}" for row in rows)
        lines.append(
            f"- Training a head on {rows[0]['images']:,} photos is {times} as ten epochs of a plain PyTorch loop."
        )
    if rows := [row for row in found["networks"] if row["path"] == "OpenVINO"]:
        low, high = (pick(row["ratio"] for row in rows) for pick in (min, max))
        lines.append(
            f"- Inference in float32 is {low:.1f} to {high:.1f} times as fast as with torchvision's eager networks."
        )
    if rows := found["memory"]:
        most = max(rows, key=lambda row: row["images"])
        lines.append(
            f"- Memory does not grow with the data: {most['peak_mib']:,.0f} MiB at peak for {most['images']:,} images."
        )
    return "\n".join(lines) or NONE_YET


def between(text: str, name: str, new: str) -> str:
    """Replace the text between the markers of `name`."""
    begin, end = f"<!-- table:{name} begin -->", f"<!-- table:{name} end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"the markers {begin} and {end} are missing")
    return f"{before}{begin}\n{new}\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    options = parser.parse_args()
    found = newest(RESULTS.read_text(encoding="utf-8").splitlines())
    page, readme = (path.read_text(encoding="utf-8") for path in (PAGE, README))
    new = {
        PAGE: between(between(page, "photos", photos(found["photos"])), "benchmarks", benchmarks(found)),
        README: between(readme, "benchmarks", headlines(found)),
    }
    stale = [path.name for path, was in ((PAGE, page), (README, readme)) if new[path] != was]
    if options.check:
        sys.exit(f"out of date: {', '.join(stale)}; run python benchmarks/tables.py" if stale else 0)
    for path, text in new.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
