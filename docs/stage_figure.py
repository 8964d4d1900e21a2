"""Draws the feature maps of a network's stages as SVG, for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .strong { font-weight: 600 }
  .front { fill: #9ec5f4 } .top { fill: #c9e0fb } .side { fill: #6ea3df } .edge { stroke: #33608f; stroke-width: 1 }
  .head .front { fill: #f4cf9e } .head .edge { stroke: #8f6433 }
  .arrow { stroke: #8c959f; fill: none } .tip { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .front { fill: #3d6a9e } .top { fill: #5485bd } .side { fill: #2b4d75 } .edge { stroke: #9cc4f0 }
    .head .front { fill: #8f6433 } .head .edge { stroke: #f4cf9e }
  }
</style>"""
TILT = 0.32  # fraction of a block's height that shows as depth
GAP = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Feature maps to draw.

    Args:
        name: Label below the block.
        channels: Number of maps.
        side: Height of a map in pixels.
    """

    name: str
    channels: int
    side: int


def stages(blocks: Sequence[Block], head: Sequence[str], label: str) -> str:
    """A drawing of a network: height shows resolution, length shows channels.

    Args:
        blocks: The image, then every stage.
        head: Lines in the box of the head.
        label: Alternative text of the figure.
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


def _height(side: int, tallest: int) -> float:
    """The square root fits 224 px and 7 px into one drawing."""
    return max(8.0, 132.0 * math.sqrt(side / tallest))


def _length(channels: int) -> float:
    return 3.0 + 0.45 * max(0.0, math.log2(channels)) ** 2


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


def _text(x: float, y: float, words: str, *, strong: bool = False) -> str:
    kind = ' class="strong"' if strong else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(words)}</text>'


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    body = "\n".join(parts)
    says = f'role="img" aria-label="{escape(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {says}>\n{STYLE}\n{body}\n</svg>\n'
