"""Why a candidate was selected, in one sentence."""

from __future__ import annotations

import math

from striate.tasks.base import Task
from striate.transfer.candidates.base import Result
from striate.transfer.policy import Choice


def reason(choice: Choice) -> str:
    """The result of the selected candidate, and the gain of pretraining over training from scratch.

    Args:
        choice: The selected candidate and all others.
    """
    winner = choice.winner
    context = winner.candidate.context
    task, folds = context.task, len(context.sets.pairs)
    how = f"in {folds}-fold cross-validation" if context.sets.crossed else "on the validation set"
    text = f"best result {how}: {task.metric_title} {task.format(winner.value)}, loss {winner.loss:.3f}"
    if not winner.candidate.pretrained:
        return f"{text}; pretraining did not help"
    scratch = next((each for each in choice.results if not each.candidate.pretrained and not each.skipped), None)
    if scratch is None:
        return text
    text += f"; training from scratch reached {task.format(scratch.value)}"
    spread = math.hypot(_half_width(task, winner), _half_width(task, scratch))
    significant = abs(winner.value - scratch.value) > spread
    return text if significant else f"{text}, which is not a significant difference"


def _half_width(task: Task, result: Result) -> float:
    """Half the width of the 95 % interval of the metric."""
    low, high = task.interval(result.record.validation)
    return (high - low) / 2
