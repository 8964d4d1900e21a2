"""The choice in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from striate.core.words import percent
from striate.transfer.advisor import Attempt


def _does(attempt: Attempt) -> str:
    row = attempt.row
    if row.strategy == "head":
        return "a linear head on frozen features"
    if row.strategy == "scratch":
        return "training from scratch"
    return f"fine-tuning {', '.join(row.trained_stages)}"


def _figures(attempt: Attempt) -> str:
    return f"validation top-1 {percent(attempt.top1)}, loss {attempt.loss:.3f}"


def reason(winner: Attempt, attempts: Sequence[Attempt], *, folds: int) -> str:
    """Why the winner won: its figures, and by how much each other candidate fell behind.

    Args:
        winner: The chosen one.
        attempts: All, the winner among them.
        folds: By how many folds they were judged; 1 where a fixed part validated.
    """
    how = "on the validation images" if folds == 1 else f"in {folds}-fold cross-validation"
    parts = [f"{_does(winner)} did best {how} ({_figures(winner)})"]
    for other in attempts:
        if other is winner:
            continue
        if other.row.status == "skipped":
            parts.append(f"{_does(other)} was skipped: {other.row.reason}")
        else:
            parts.append(f"{_does(other)} reached {_figures(other)}")
    scratch = [a for a in attempts if a.row.strategy == "scratch" and a.build is not None]
    if winner.row.strategy == "scratch":
        parts.append("transfer did not help here")
    elif scratch:
        gain = winner.top1 - scratch[0].top1
        n = winner.row.validation.n if winner.row.validation else 0
        noise = 2 * math.sqrt(max(winner.top1 * (1 - winner.top1), 1 / n) * 2 / n) if n else 1.0
        sure = "" if abs(gain) > noise else ", which so few images cannot tell from chance"
        parts.append(f"against training from scratch, pretraining is worth {100 * gain:.1f} points{sure}")
    return "; ".join(parts) + "."
