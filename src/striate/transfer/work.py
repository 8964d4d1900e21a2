"""How long training takes, foretold from sizes alone, so that budgets are fair and do not depend on the clock.

Counting multiply-adds alone would flatter networks whose early stages make large maps: those wait for memory, not for
arithmetic. The two rates are those of a two-core processor in float32; only their proportion decides what is trained.
"""

from __future__ import annotations

from collections.abc import Iterable

from striate.records.sizes import LayerRow

MACS_A_SECOND = 6e10
MEMORY_BYTES_A_SECOND = 1e10
PASSES_OVER_MACS = 3
"""Forward, the gradient of the input, and the gradient of the weights."""
PASSES_OVER_MAPS = 6
"""Each map is written and read forward, and its gradient and itself are read and written backward."""


def training_seconds(rows: Iterable[LayerRow]) -> float:
    """Seconds that one image takes in one step through some layers, forward and backward.

    Args:
        rows: Of the sizing engine.
    """
    return sum(
        PASSES_OVER_MACS * row.macs / MACS_A_SECOND + PASSES_OVER_MAPS * row.activation_bytes / MEMORY_BYTES_A_SECOND
        for row in rows
    )
