"""What a network costs before it runs."""

from __future__ import annotations

from striate.sizing.measure import measure

__all__ = ["measure"]
