"""Parameters, multiply-adds, memory and receptive fields of a network, without running it on data."""

from __future__ import annotations

from striate.sizing.measure import measure
from striate.sizing.memory import fits, kept_bytes, largest_batch, largest_side, peak_bytes

__all__ = ["fits", "kept_bytes", "largest_batch", "largest_side", "measure", "peak_bytes"]
