"""Draws the figures of the pages about networks, as SVG that suits light and dark pages alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 11px; fill: #57606a } .strong { font-weight: 600 }
  .front { fill: #9ec5f4 } .top { fill: #c9e0fb } .side { fill: #6ea3df } .edge { stroke: #33608f; stroke-width: 1 }
  .head .front { fill: #f4cf9e } .head .edge { stroke: #8f6433 }
  .arrow, .line { stroke: #8c959f; fill: none } .grid { stroke: #d8dee4 } .tip { fill: #8c959f }
  .bubble { fill-opacity: .55; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #30363d }
    .front { fill: #3d6a9e } .top { fill: #5485bd } .side { fill: #2b4d75 } .edge { stroke: #9cc4f0 }
    .head .front { fill: #8f6433 } .head .edge { stroke: #f4cf9e }
  }
</style>"""
TILT = 0.32  # of a block's height goes into its depth
GAP = 30.0
COLOURS = (
    "#3b7dd8",
    "#d1603d",
    "#3d9a5f",
    "#8e5bc0",
    "#c2952b",
    "#2a9d9d",
    "#c04f86",
    "#6b7a8f",
    "#7a9a01",
    "#a0522d",
    "#00708f",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Maps to draw.

    Args:
        name: What stands below.
        channels: Number of maps.
        side: Height of one, in positions.
    """

    name: str
    channels: int
    side: int


def stages(blocks: Sequence[Block], head: Sequence[str], label: str) -> str:
    """A network as the maps that leave its stages: taller is more positions, longer is more channels.

    Args:
        blocks: The picture, then every stage.
        head: What stands in the head's box, line by line.
        label: What the figure shows, for those who do not see it.
    """
    tallest = max(block.side for block in blocks)
    heights = [_height(block.side, tallest) for block in blocks]
    base, x, parts = 24.0 + max((1 + TILT) * height for height in heights), 16.0, []
    for block, height in zip(blocks, heights, strict=True):
        length, deep = _length(block.channels), TILT * height
        column = max(length + deep, 74.0)
        if parts:
            parts.append(_arrow(x - GAP + 4, x - 4, base - 14))
        left = x + (column - length - deep) / 2
        parts.append(_cuboid(left, base, length, height, deep))
        lines = [block.name, f"{block.side} x {block.side}", f"{block.channels:,} ch"]
        parts += [_text(x + column / 2, base + 18 + 15 * i, line, strong=i == 0) for i, line in enumerate(lines)]
        x += column + GAP
    parts.append(_arrow(x - GAP + 4, x - 4, base - 14))
    width, tall = 112.0, 20.0 + 15 * len(head)
    box = f'<rect class="front edge" x="{x:.1f}" y="{base - tall:.1f}" width="{width}" height="{tall}" rx="4"/>'
    words = [_text(x + width / 2, base - tall + 20 + 15 * i, line) for i, line in enumerate(head)]
    parts += [f'<g class="head">{box}{"".join(words)}</g>', _text(x + width / 2, base + 18, "head", strong=True)]
    return _svg(x + width + 16, base + 60, label, parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One network on the chart.

    Args:
        name: Written beside it.
        group: Networks of one group share a colour and a line.
        macs: Multiply-adds.
        params: Parameters.
        top1: Percent.
    """

    name: str
    group: str
    macs: int
    params: int
    top1: float


def bubbles(points: Sequence[Bubble], label: str) -> str:
    """Accuracy against multiply-adds (logarithmic); a bubble's area is the number of parameters."""
    width, height, left, right, top, bottom = 960.0, 640.0, 56.0, 24.0, 20.0, 52.0
    low_x, high_x = (edge(math.log10(p.macs) for p in points) for edge in (min, max))
    low_x, high_x = low_x - 0.12, high_x + 0.25
    low_y = 5 * math.floor(min(p.top1 for p in points) / 5)
    high_y = 5 * math.ceil((max(p.top1 for p in points) + 1) / 5)

    def x(macs: float) -> float:
        return left + (math.log10(macs) - low_x) / (high_x - low_x) * (width - left - right)

    def y(top1: float) -> float:
        return height - bottom - (top1 - low_y) / (high_y - low_y) * (height - top - bottom)

    parts = []
    for tick in range(low_y, high_y + 1, 5):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(_text(left - 8, y(tick) + 4, str(tick), anchor="end", small=True))
    for power in range(math.floor(low_x), math.ceil(high_x)):
        for digit in (1, 2, 5):
            macs = digit * 10.0**power
            if low_x <= math.log10(macs) <= high_x:
                at = f"{x(macs):.1f}"
                parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{height - bottom}"/>')
                parts.append(_text(x(macs), height - bottom + 18, amount(macs), small=True))
    groups = list(dict.fromkeys(point.group for point in points))
    for number, group in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        mine = sorted((p for p in points if p.group == group), key=lambda p: (p.macs, p.top1))
        highest = {p.macs: p for p in mine}  # of equal cost the last, which is the best
        path = " ".join(f"{x(p.macs):.1f},{y(p.top1):.1f}" for p in highest.values())
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-opacity=".45"/>')
        for point in mine:
            circle = f'cx="{x(point.macs):.1f}" cy="{y(point.top1):.1f}" r="{_radius(point.params):.1f}"'
            says = f"{point.top1:.1f} %, {amount(point.macs)} multiply-adds, {amount(point.params)} parameters"
            title = f"<title>{escape(point.name)}: {says}</title>"
            parts.append(f'<circle class="bubble" {circle} fill="{colour}" stroke="{colour}">{title}</circle>')
    parts += _labels([(point.name, x(point.macs), y(point.top1), _radius(point.params)) for point in points], width)
    parts.append(_text((left + width - right) / 2, height - 12, "multiply-adds for one picture"))
    parts.append(f'<text transform="translate(16 {height / 2}) rotate(-90)" text-anchor="middle">top-1, %</text>')
    for i, params in enumerate((5e6, 25e6, 140e6)):
        place = width - right - 190 + 62 * i
        parts.append(f'<circle class="line" cx="{place}" cy="{height - bottom - 38}" r="{_radius(params):.1f}"/>')
        parts.append(_text(place, height - bottom - 8, amount(params), small=True))
    parts.append(_text(width - right - 128, height - bottom - 66, "parameters", small=True))
    return _svg(width, height, label, parts)


def _labels(points: Sequence[tuple[str, float, float, float]], width: float) -> list[str]:
    """Names beside their bubbles, each where it covers neither a name nor a bubble; those without room are left out."""
    taken = [(x - min(r, 9), y - min(r, 9), x + min(r, 9), y + min(r, 9)) for _, x, y, r in points]
    parts = []
    for name, x, y, r in points:
        long = 6.1 * len(name)
        slant = 0.7 * r + 2
        places = [(r + 3, 4.0, "start"), (-r - 3, 4.0, "end"), (0.0, -r - 4, "middle"), (0.0, r + 12, "middle")]
        places += [(dx, dy, side) for dx, side in ((slant, "start"), (-slant, "end")) for dy in (-slant, slant + 9)]
        for dx, dy, anchor in places:
            begin = x + dx - {"start": 0.0, "end": long, "middle": long / 2}[anchor]
            box = (begin, y + dy - 10, begin + long, y + dy + 2)
            inside = box[0] >= 60 and box[2] <= width - 4
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(_text(x + dx, y + dy, name, anchor=anchor, small=True))
                break
    return parts


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _height(side: int, tallest: int) -> float:
    """Square roots bring 224 and 7 positions onto one drawing."""
    return max(8.0, 132.0 * math.sqrt(side / tallest))


def _length(channels: int) -> float:
    return 3.0 + 0.45 * max(0.0, math.log2(channels)) ** 2


def _radius(params: float) -> float:
    return 2.0 + math.sqrt(params / 1e6) * 1.2


def amount(number: float) -> str:
    """Three digits and a letter: 4.09 G, 25.6 M, 61.7 k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:g}"


def _cuboid(x: float, base: float, length: float, height: float, deep: float) -> str:
    up, right = base - height, x + length
    front = f'<rect class="front edge" x="{x:.1f}" y="{up:.1f}" width="{length:.1f}" height="{height:.1f}"/>'
    top = f"{x:.1f},{up:.1f} {x + deep:.1f},{up - deep:.1f} {right + deep:.1f},{up - deep:.1f} {right:.1f},{up:.1f}"
    back = right + deep
    side = f"{right:.1f},{up:.1f} {back:.1f},{up - deep:.1f} {back:.1f},{base - deep:.1f} {right:.1f},{base:.1f}"
    return f'{front}<polygon class="top edge" points="{top}"/><polygon class="side edge" points="{side}"/>'


def _arrow(start: float, stop: float, y: float) -> str:
    tip = f"{stop:.1f},{y:.1f} {stop - 6:.1f},{y - 3.5:.1f} {stop - 6:.1f},{y + 3.5:.1f}"
    return f'<path class="arrow" d="M{start:.1f} {y:.1f}H{stop - 6:.1f}"/><polygon class="tip" points="{tip}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "middle", strong: bool = False, small: bool = False) -> str:
    kind = ' class="strong"' if strong else ' class="small"' if small else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    body = "\n".join(parts)
    says = f'role="img" aria-label="{escape(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {says}>\n{STYLE}\n{body}\n</svg>\n'
