"""Why a candidate was selected, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from striate.core.words import percent
from striate.transfer.advisor import Attempt


def reason(winner: Attempt, attempts: Sequence[Attempt], *, folds: int) -> str:
    """The result of the selected candidate, and the gain of pretraining over training from scratch.

    Args:
        winner: The selected candidate.
        attempts: All candidates, including the selected one.
        folds: Number of cross-validation folds; 1 if a separate validation set was used.
    """
    how = "on the validation set" if folds == 1 else f"in {folds}-fold cross-validation"
    text = f"best result {how}: accuracy {percent(winner.top1)}, loss {winner.loss:.3f}"
    if winner.row.strategy == "scratch":
        return f"{text}; pretraining did not help"
    scratch = next((a for a in attempts if a.row.strategy == "scratch" and a.build is not None), None)
    if scratch is None:
        return text
    gain = winner.top1 - scratch.top1
    n = winner.row.validation.n if winner.row.validation else 0
    noise = 2 * math.sqrt(max(winner.top1 * (1 - winner.top1), 1 / n) * 2 / n) if n else 1.0
    text += f"; training from scratch reached {percent(scratch.top1)}"
    return text if abs(gain) > noise else f"{text}, which is not a significant difference"
