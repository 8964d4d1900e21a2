"""The one place where time decides: what a budget no longer leaves room for."""

from __future__ import annotations

import time
from typing import final


@final
class Clock:
    """What is left of the budget. It may drop whole candidates, and nothing else.

    Args:
        budget_s: Seconds for the whole run; None never runs out.
    """

    RESERVE = 0.15

    def __init__(self, budget_s: float | None) -> None:
        self.began = time.monotonic()
        self.budget_s = budget_s
        self.slowness = 1.0

    def learn(self, estimated_s: float, seconds: float) -> None:
        """Take notice of how fast this machine trains."""
        if seconds > 1:
            self.slowness = seconds / estimated_s

    def skip_reason(self, estimated_s: float) -> str:
        """Why work that is foretold to take so many seconds cannot be begun; empty when it can."""
        if self.budget_s is None:
            return ""
        left = self.budget_s * (1 - self.RESERVE) - (time.monotonic() - self.began)
        needed = estimated_s * self.slowness
        if needed <= left:
            return ""
        return f"needs about {needed:.0f} s of the budget's remaining {max(0.0, left):.0f} s"
