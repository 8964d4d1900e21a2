"""Charts in files of their own: a network's size layer by layer, and accuracy against cost.

Each is one self-contained SVG file for light and dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from striate.core.words import compact, count, percent, printable
from striate.records.sizes import SizeRecord
from striate.report.largest import QUANTITIES, Quantity, counted, of

STYLE = """
svg { --paper: #fdfdfb; --ink: #1c2126; --soft: #59626b; --line: #dfe0da; --accent: #1d5a96; --other: #b0481e;
  font-family: system-ui, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #15181b; --ink: #e4e6e8; --soft: #9ba4ad; --line: #33393f;
  --accent: #7db3e8; --other: #ee8f62; } }
.paper { fill: var(--paper); } text { fill: var(--ink); font-size: 12px; } .title { font-size: 15px; font-weight: 600; }
.soft { fill: var(--soft); } .grid { stroke: var(--line); }
.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.conv { fill: var(--accent); } .linear { fill: var(--other); }
.bubble { fill-opacity: .5; stroke-width: 1.2; }
.pareto { fill: none; stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 5 4; }
"""
HUES = (210, 25, 130, 275, 350, 180, 50, 310, 95)
COLOURS = 2 * len(HUES)
"""Families with colours of their own, in a dark and a light tone of each hue; more families share them."""
STYLE += "".join(
    f".f{number} {{ fill: hsl({hue} 75% {tone}%); stroke: hsl({hue} 75% {tone - 10}%); }}\n"
    for number, (tone, hue) in enumerate((tone, hue) for tone in (42, 66) for hue in HUES)
)

WIDTH = 860.0
LEFT, RIGHT = 56.0, 16.0
PANEL, GAP = 130.0, 34.0
FEW = 20
"""Maximum number of bubbles in a small chart."""
RADIUS = 22.0
"""Radius of the largest bubble."""
COLUMNS = 6
"""Columns of the legend."""
LETTER = 6.9
"""Width of a letter in labels, generously."""


def layers(size: SizeRecord) -> Markup:
    """Bar charts of the units, connections and weights of every convolutional and linear layer, from input to output.

    Args:
        size: The size of the network.
    """
    rows = counted(size)
    slot = (WIDTH - LEFT - RIGHT) / max(len(rows), 1)
    top = 58.0
    height = top + len(QUANTITIES) * (PANEL + GAP) + 26
    parts = [
        _text(f"{size.name}: units, connections and weights by layer", LEFT, 24, "title"),
        _text("percentage of the whole network, from input (left) to output (right)", LEFT, 42, "soft"),
        _key((("conv", "convolution"), ("linear", "linear layer")), WIDTH - RIGHT - 190, 38),
    ]
    parts.append(_stage_marks(size, slot, top, height - 26))
    for place, quantity in enumerate(QUANTITIES):
        parts.append(_panel(size, quantity, slot, top + place * (PANEL + GAP) + 18))
    return _page(WIDTH, height, f"Units, connections and weights of {size.name} by layer", parts)


def _panel(size: SizeRecord, quantity: Quantity, slot: float, top: float) -> Markup:
    rows = counted(size)
    total = max(sum(of(row, quantity) for row in rows), 1)
    most = max((of(row, quantity) for row in rows), default=0) / total
    end = next((tick for tick in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if tick >= most), 1.0)
    parts = [_text(f"{quantity} ({compact(total)})", LEFT, top - 6, "halo")]
    for step in range(3):
        level = top + PANEL * (1 - step / 2)
        parts.append(_grid(LEFT, level, WIDTH - RIGHT, level))
        parts.append(_text(f"{100 * end * step / 2:g} %", LEFT - 6, level + 4, "soft", anchor="end"))
    for place, row in enumerate(rows):
        tall = PANEL * of(row, quantity) / total / end
        parts.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                "<title>{}: {} {}, {}</title></rect>"
            ).format(
                row.type,
                LEFT + slot * place + 0.08 * slot,
                top + PANEL - tall,
                0.84 * slot,
                tall,
                printable(row.name),
                count(of(row, quantity)),
                quantity,
                percent(of(row, quantity) / total),
            )
        )
    return Markup("\n").join(parts)


def _stage_marks(size: SizeRecord, slot: float, top: float, bottom: float) -> Markup:
    """A line at the start of each stage, and its name below if it fits."""
    names = [row.name.partition(".")[0] for row in counted(size)]
    parts, free = [], 0.0
    for place, name in enumerate(names):
        if place and names[place - 1] == name:
            continue
        wide = slot * sum(1 for each in names if each == name)
        left = LEFT + slot * place
        if place:
            parts.append(_grid(left, top + 14, left, bottom + 4))
        middle = left + wide / 2
        half = 3.4 * len(name)
        if middle - half >= free:
            parts.append(_text(printable(name), middle, bottom + 10, "soft", anchor="middle"))
            free = middle + half + 6
    return Markup("\n").join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One network in the chart of accuracy against cost.

    Args:
        name: Name of the network.
        family: Networks of one family have one colour.
        cost: Its cost, above 0.
        top1: Published accuracy in percent.
        params: Number of parameters; the area of the bubble is proportional to it.
    """

    name: str
    family: str
    cost: float
    top1: float
    params: int


def pareto(points: Sequence[Bubble]) -> list[Bubble]:
    """The networks that no other one beats in both cost and accuracy, the cheapest first."""
    front: list[Bubble] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.top1)):
        if not front or point.top1 > front[-1].top1:
            front.append(point)
    return front


def bubbles(points: Sequence[Bubble], *, axis: str, source: str) -> Markup:
    """Accuracy against cost on a logarithmic axis. The area of a bubble is the number of parameters.

    The colour is that of the family, and a dashed line joins the networks that no other one beats in both
    cost and accuracy. Those are labelled first, then the others from the most accurate down. A label that finds no free
    place is left out; the tooltip of the bubble has it.

    Args:
        points: The networks.
        axis: Label of the cost axis.
        source: Dataset of the accuracies.
    """
    families = list(dict.fromkeys(p.family for p in points))
    legend = 18.0 * -(-len(families) // COLUMNS)
    width, height = (WIDTH, 560.0) if len(points) <= FEW else (1180.0, 780.0)
    top, bottom = 62.0, 56.0 + legend
    lows, highs = [math.log10(p.cost) for p in points] or [0.0], [p.top1 for p in points] or [0.0, 100.0]
    low, high = min(lows) - 0.15, max(lows) + 0.3
    floor, ceiling = 2 * math.floor(min(highs) / 2 - 0.5), min(100, 2 * math.ceil(max(highs) / 2 + 0.5))
    largest = max((p.params for p in points), default=1)
    kinds = {family: f"f{number % COLOURS}" for number, family in enumerate(families)}

    def x(cost: float) -> float:
        return LEFT + (math.log10(cost) - low) / (high - low) * (width - LEFT - RIGHT)

    def y(top1: float) -> float:
        return height - bottom - (top1 - floor) / (ceiling - floor) * (height - bottom - top)

    def radius(point: Bubble) -> float:
        return RADIUS * math.sqrt(point.params / largest)

    about = f"published top-1 accuracy in percent ({source}); area: number of parameters; hover for details"
    parts = [
        _text("Accuracy against cost", LEFT, 24, "title"),
        _text(about, LEFT, 42, "soft"),
        _text(axis, (LEFT + width - RIGHT) / 2, height - bottom + 36, "soft", anchor="middle"),
    ]
    step = next(s for s in (2, 5, 10, 20) if (ceiling - floor) / s <= 9 or s == 20)
    for level in range(-(-floor // step) * step, ceiling + 1, step):
        parts.append(_grid(LEFT, y(level), width - RIGHT, y(level)))
        parts.append(_text(str(level), LEFT - 8, y(level) + 4, "soft", anchor="end"))
    for tick in _round_costs(low, high):
        parts.append(_grid(x(tick), top, x(tick), height - bottom))
        parts.append(
            _text(compact(tick) if tick >= 1 else f"{tick:g}", x(tick), height - bottom + 18, "soft", anchor="middle")
        )
    front = pareto(points)
    parts.append(_line("pareto", [(x(p.cost), y(p.top1)) for p in front]))
    for point in sorted(points, key=lambda p: -p.params):  # small ones on top
        parts.append(
            Markup(
                '<circle class="bubble {}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}">'
                "<title>{}: {} %, {} parameters</title></circle>"
            ).format(
                kinds[point.family],
                x(point.cost),
                y(point.top1),
                radius(point),
                printable(point.name),
                point.top1,
                compact(point.params),
            )
        )
    first = [*reversed(front), *(p for p in sorted(points, key=lambda p: -p.top1) if p not in front)]
    parts += _names([(x(p.cost), y(p.top1), radius(p), printable(p.name)) for p in first], width - RIGHT, top)
    parts.append(_legend([(kinds[family], family) for family in families], width, height - legend))
    return _page(width, height, f"Accuracy against {axis}", parts)


def _legend(kinds: Sequence[tuple[str, str]], width: float, top: float) -> Markup:
    """The families and their colours in columns, and above them the line of the best."""
    slot = (width - LEFT - RIGHT) / COLUMNS
    level = top - 21
    parts = [
        _line("pareto", [(LEFT, level), (LEFT + 22, level)]),
        _text("no other one is cheaper and better", LEFT + 28, level + 4, "soft"),
    ]
    for number, (kind, family) in enumerate(kinds):
        left, level = LEFT + slot * (number % COLUMNS), top + 18 * (number // COLUMNS)
        parts.append(
            Markup('<rect class="bubble {}" x="{:.1f}" y="{:.1f}" width="10" height="10"/>').format(
                kind, left, level - 9
            )
        )
        parts.append(_text(printable(family), left + 15, level))
    return Markup("\n").join(parts)


def _line(kind: str, places: Sequence[tuple[float, float]]) -> Markup:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, points)


def _names(places: Sequence[tuple[float, float, float, str]], right: float, top: float) -> list[Markup]:
    """Each name next to its bubble, at the first of ten positions that overlaps no other name or bubble centre."""
    parts: list[Markup] = []
    taken = [(x - 4, x + 4, y - 4, y + 4) for x, y, _, _ in places]
    for x, y, radius, name in places:
        wide, near = LETTER * len(name), radius + 4
        for left, level in (
            (x + near, y),
            (x - near - wide, y),
            *((x + side, y + up) for up in (-12, 12, -24, 24) for side in (4, -4 - wide)),
        ):
            box = (left - 2, left + wide + 2, level - 7, level + 7)
            free = left >= LEFT and left + wide <= right and level - 7 >= top
            if free and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(_text(name, left, level + 4, "halo"))
                break
    return parts


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _round_costs(low: float, high: float) -> list[float]:
    ticks = [m * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _key(kinds: Sequence[tuple[str, str]], left: float, level: float) -> Markup:
    parts = []
    for kind, word in kinds:
        parts.append(
            Markup('<rect class="{}" x="{:.0f}" y="{:.0f}" width="10" height="10"/>').format(kind, left, level - 9)
        )
        parts.append(_text(word, left + 15, level))
        left += 100
    return Markup("\n").join(parts)


def _text(words: str, x: float, y: float, kind: str = "ink", *, anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, words)


def _grid(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(x1, y1, x2, y2)


def _page(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img" '
        'aria-label="{2}">\n<style>{3}</style>\n<rect class="paper" width="100%" height="100%"/>\n{4}\n</svg>\n'
    ).format(width, height, printable(title), Markup(STYLE), Markup("\n").join(parts))
