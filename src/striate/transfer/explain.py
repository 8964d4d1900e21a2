"""The choice in words."""

from __future__ import annotations

from collections.abc import Sequence

from striate.transfer.advisor import Attempt


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _does(attempt: Attempt) -> str:
    row = attempt.row
    if row.strategy == "head":
        return "a linear head on frozen features"
    if row.strategy == "scratch":
        return "training from scratch"
    return f"fine-tuning {', '.join(row.trained_stages)}"


def _figures(attempt: Attempt) -> str:
    return f"validation top-1 {_percent(attempt.top1)}, loss {attempt.loss:.3f}"


def reason(winner: Attempt, attempts: Sequence[Attempt]) -> str:
    """Why the winner won: its figures, and by how much each other candidate fell behind."""
    parts = [f"{_does(winner)} did best on the validation pictures ({_figures(winner)})"]
    for other in attempts:
        if other is winner:
            continue
        if other.row.status == "skipped":
            parts.append(f"{_does(other)} was skipped: {other.row.reason}")
        elif other.loss < winner.loss:
            parts.append(f"{_does(other)} had the lower loss, yet got fewer pictures right ({_figures(other)})")
        else:
            parts.append(f"{_does(other)} reached {_figures(other)}")
    scratch = [a for a in attempts if a.row.strategy == "scratch" and a.build is not None]
    if winner.row.strategy == "scratch":
        parts.append("transfer does not help here: these pictures are unlike those of the pretraining")
    elif scratch:
        parts.append(f"pretraining is worth {100 * (winner.top1 - scratch[0].top1):.1f} points under this budget")
    return "; ".join(parts) + "."
