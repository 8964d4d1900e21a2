"""The charts of the report as SVG. Their colours come from the page, for light mode, dark mode and print.

A chart is drawn at the width of a phone, so that its text is legible there, and scales with the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from striate.core.words import percent, plural, printable
from striate.records.results import Bin

if TYPE_CHECKING:
    from striate.tasks.base import Task

MAX_LEVEL_LABELS = 6
MAX_DOTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear scale from values to drawing units.

    Args:
        low: Value at the start of the axis.
        high: Value at the end of the axis.
        start: Position of `low` in drawing units.
        stop: Position of `high`; below `start` for a vertical axis.
    """

    low: float
    high: float
    start: float = 0.0
    stop: float = 100.0

    def __call__(self, value: float) -> float:
        """The position of a value; values beyond the ends are clipped."""
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.stop - self.start), 2)

    def ticks(self) -> list[float]:
        """At most six round values from end to end."""
        span = self.high - self.low
        step = next(s for s in chain((0.02, 0.05, 0.1, 0.2, 0.25, 0.5), _round_steps()) if span / s <= 5 + 1e-9)
        return [round(self.low + i * step, 4) for i in range(int(span / step + 1e-9) + 1)]


def around(values: Sequence[float], *, start: float = 0.0, stop: float = 100.0) -> Scale:
    """The scale that contains all `values`, with ends at multiples of 0.1 that are at least 0.2 apart."""
    low = math.floor(10 * min(values, default=0.0) + 1e-9) / 10
    high = math.ceil(10 * max(values, default=1.0) - 1e-9) / 10
    if high - low < 0.2:
        low, high = (high - 0.2, high) if high > 0.5 else (low, low + 0.2)
    return Scale(low=round(low, 1), high=round(high, 1), start=start, stop=stop)


def depth(task: type[Task], points: Sequence[Any], reused: Sequence[str], above: str) -> Markup:
    """The metric of the linear probes by depth, with the cut between frozen and other stages.

    Args:
        task: The task, which defines the metric.
        points: The probes, from the input to the head, each of the task's `probe_type`.
        reused: The frozen stages.
        above: What happened to the stages above the cut, such as ``"trained"``.
    """
    width, height, left, right, top, bottom = 420.0, 250.0, 56.0, 12.0, 26.0, 36.0
    y = around([end for p in points for end in task.interval(p)], start=height - bottom, stop=top)
    gap = (width - left - right) / max(len(points), 1)
    xs = [left + gap * (i + 0.5) for i in range(len(points))]
    parts = [_levels(y, left, width - right, task.format)]
    band = [f"{x:.1f},{y(task.interval(p)[1])}" for x, p in zip(xs, points, strict=True)]
    band += [f"{x:.1f},{y(task.interval(p)[0])}" for x, p in reversed(list(zip(xs, points, strict=True)))]
    parts.append(Markup('<polygon class="band" points="{}"/>').format(" ".join(band)))
    line = " ".join(f"{x:.1f},{y(task.value(p))}" for x, p in zip(xs, points, strict=True))
    parts.append(Markup('<polyline class="line" points="{}"/>').format(line))
    kept = sum(p.stage in reused for p in points)
    if 0 < kept < len(points):
        parts.append(_cut(left + gap * kept, top, height - bottom, above))
    slanted = len(points) > MAX_LEVEL_LABELS
    for x, point in zip(xs, points, strict=True):
        kind = "dot" if point.stage in reused else "dot open"
        parts.append(
            Markup(
                '<circle class="{}" cx="{:.1f}" cy="{}" r="4.5"><title>{}: {}, 95 % interval {}</title></circle>'
            ).format(
                kind,
                x,
                y(task.value(point)),
                printable(point.stage),
                task.format(task.value(point)),
                task.format_interval(task.interval(point)),
            )
        )
        parts.append(_label(printable(point.stage), x, height - bottom + 18, slanted=slanted))
    says = "; ".join(f"{p.stage} {task.format(task.value(p))}" for p in points)
    return _svg(
        "layer-probes",
        width,
        height + (26 if slanted else 0),
        "Layer probes",
        f"{task.metric_title.capitalize()}: {says}.",
        parts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric against the epoch; the panels are stacked.

    Args:
        metric: Name of the metric in the rows of a curve.
        title: Title above the panel.
        form: Formats a value.
        low: Value at the bottom; None takes the minimum.
        limits: The smallest and the largest possible value, which the axis does not exceed.
    """

    metric: str
    title: str
    form: Callable[[float], str]
    low: float | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)

    def ends(self, values: Sequence[float]) -> tuple[float, float]:
        """The ends of the axis: those of the values, or around them if all are the same."""
        low = min(values, default=0.0) if self.low is None else self.low
        high = max(values, default=1.0)
        if high > low:
            return low, high
        spread = abs(high) / 10 or 1.0
        low = low - spread if self.low is None else low
        return max(low, self.limits[0]), min(high + spread, self.limits[1])


PANELS = (
    Panel(metric="loss", title="training loss", form=lambda value: f"{value:.3g}", low=0.0),
    Panel(metric="validation_loss", title="validation loss", form=lambda value: f"{value:.3g}", low=0.0),
    Panel(metric="top1", title="validation accuracy", form=percent, limits=(0.0, 1.0)),
    Panel(metric="lr", title="learning rate", form=lambda value: f"{value:.2g}", low=0.0),
)


def training(curve: Sequence[Mapping[str, float]], *, best: int | None = None, width: float = 420.0) -> Markup:
    """Training curves: loss, validation accuracy and learning rate, if the curve has them.

    Args:
        curve: One row per epoch.
        best: The epoch whose weights were kept; None marks no epoch.
        width: Of the drawing; text keeps its size.
    """
    panels = [panel for panel in PANELS if any(panel.metric in row for row in curve)]
    left, right, top, tall, gap = 56.0, 12.0, 22.0, 74.0, 30.0
    epochs = [row["epoch"] for row in curve]
    x = Scale(low=epochs[0] - 0.5, high=epochs[-1] + 0.5, start=left, stop=width - right)
    parts = [
        _panel(panel, curve, x, top + place * (tall + gap), tall, width - right, best)
        for place, panel in enumerate(panels)
    ]
    foot = top + len(panels) * (tall + gap) - gap
    step = next(s for s in _round_steps() if (epochs[-1] - epochs[0]) / s <= 6)
    for epoch in sorted({epochs[0], *(e for e in epochs if e % step == 0)}):
        if epoch == epochs[0] or epoch - epochs[0] >= 0.6 * step:
            parts.append(_label(f"{epoch:.0f}", x(epoch), foot + 17, slanted=False))
    parts.append(
        Markup('<text class="axis" x="{:.0f}" y="{:.0f}" text-anchor="middle">epoch</text>').format(
            (left + width - right) / 2, foot + 33
        )
    )
    last = {panel: next(row[panel.metric] for row in reversed(curve) if panel.metric in row) for panel in panels}
    says = "; ".join(f"{panel.title} ends at {panel.form(value)}" for panel, value in last.items())
    return _svg("training-curves", width, foot + 38, f"Training over {plural(len(curve), 'epoch')}", f"{says}.", parts)


def _round_steps() -> Iterator[int]:
    return (part * 10**power for power in range(9) for part in (1, 2, 5))


def _panel(
    panel: Panel,
    curve: Sequence[Mapping[str, float]],
    x: Scale,
    top: float,
    tall: float,
    right: float,
    best: int | None,
) -> Markup:
    rows = [(row["epoch"], row[panel.metric]) for row in curve if panel.metric in row]
    values = [value for _, value in rows if math.isfinite(value)]
    low, high = panel.ends(values)
    y = Scale(low=low, high=high, start=top + tall, stop=top)
    parts = [Markup('<text x="{:.0f}" y="{:.0f}">{}</text>').format(x.start, top - 7, panel.title)]
    for level in (y.low, y.high):
        parts.append(
            Markup(
                '<line class="grid" x1="{0:.1f}" x2="{1:.1f}" y1="{2}" y2="{2}"/>'
                '<text class="tick" x="{3:.1f}" y="{4:.1f}" text-anchor="end">{5}</text>'
            ).format(x.start, right, y(level), x.start - 7, y(level) + 4, panel.form(level))
        )
    line = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in rows if math.isfinite(value))
    parts.append(Markup('<polyline class="line" points="{}"/>').format(line))
    for epoch, value in rows:
        ring = "dot open" if epoch == best and panel.metric == "top1" else "dot"
        if ring == "dot" and len(rows) > MAX_DOTS:
            continue
        parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>epoch {:.0f}: {}</title></circle>').format(
                ring, x(epoch), y(value), 4.5 if ring != "dot" else 3, epoch, panel.form(value)
            )
        )
    return Markup("\n").join(parts)


def reliability(bins: Sequence[Bin]) -> Markup:
    """Reliability diagram: accuracy against predicted probability; larger dots stand for more images."""
    side, left, bottom, top = 320.0, 46.0, 42.0, 16.0
    x = Scale(low=0.0, high=1.0, start=left, stop=side - 12)
    y = Scale(low=0.0, high=1.0, start=side - bottom, stop=top)
    most = max((b.n for b in bins), default=1)
    parts = [_levels(y, left, side - 12, lambda tick: f"{100 * tick:.0f}")]
    for tick in x.ticks():
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{:.0f}</text>').format(
                x(tick), side - bottom + 16, 100 * tick
            )
        )
    parts.append(Markup('<line class="ideal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(x(0.0), y(0.0), x(1.0), y(1.0)))
    for each in bins:
        parts.append(
            Markup('<line class="miss" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                x(each.confidence), y(each.confidence), y(each.accuracy)
            )
        )
        parts.append(
            Markup(
                '<circle class="dot see" cx="{}" cy="{}" r="{:.1f}">'
                "<title>{}: predicted probability {}, accuracy {}</title></circle>"
            ).format(
                x(each.confidence),
                y(each.accuracy),
                2.5 + 7 * math.sqrt(each.n / most),
                plural(each.n, "image"),
                percent(each.confidence),
                percent(each.accuracy),
            )
        )
    middle = (left + side - 12) / 2
    parts.append(
        Markup('<text class="axis" x="{:.0f}" y="{:.0f}" text-anchor="middle">predicted probability, %</text>').format(
            middle, side - 6
        )
    )
    parts.append(
        Markup('<text class="axis" transform="translate(11 {:.0f}) rotate(-90)" text-anchor="middle">{}</text>').format(
            (top + side - bottom) / 2, "accuracy, %"
        )
    )
    says = "; ".join(f"probability {percent(b.confidence)}, accuracy {percent(b.accuracy)} of {b.n}" for b in bins)
    return _svg("reliability", side, side, "Reliability diagram", f"{says}.", parts)


def _levels(y: Scale, left: float, right: float, form: Callable[[float], str]) -> Markup:
    rows = [
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
        ).format(left, right, y(tick), left - 7, y(tick) + 4, form(tick))
        for tick in y.ticks()
    ]
    return Markup("").join(rows)


def _cut(x: float, top: float, bottom: float, above: str) -> Markup:
    return Markup(
        '<line class="cut" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
        '<text class="tick" x="{3:.1f}" y="{4}" text-anchor="end">frozen</text>'
        '<text class="tick" x="{5:.1f}" y="{4}">{6}</text>'
    ).format(x, top - 16, bottom, x - 6, top - 8, x + 6, above)


def _label(text: str, x: float, y: float, *, slanted: bool) -> Markup:
    if slanted:
        return Markup(
            '<text class="tick" transform="translate({:.1f} {:.1f}) rotate(-45)" text-anchor="end">{}</text>'
        ).format(x + 4, y - 6, text)
    return Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(x, y, text)


def _svg(name: str, width: float, height: float, title: str, description: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg data-figure="{}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        name, width, height, f"{title}. {printable(description)}", Markup("\n").join(parts)
    )
