"""The summary of a run in sentences. The report and the command line begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate import tasks
from striate.core.words import plural, sentence
from striate.records.recipes import title
from striate.records.results import Candidate, DataIssue, FitRecord, Summary, TrainRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The summary of a run.

    Args:
        summary: What the task says of the test score.
        choice: The selected candidate and the reason, or the network and recipe that were trained.
        note: A remark about the choice; empty if there is none.
        warnings: Reasons to distrust the results, the most serious first.
    """

    summary: Summary
    choice: str
    note: str
    warnings: tuple[str, ...]


def judge(record: FitRecord) -> Verdict:
    """The summary of a fitted classifier."""
    choice = f"Selected: {record.chosen.backbone}, {name_of(_winner(record))}. {sentence(record.chosen.reason)}"
    task, more = tasks.get(record.task), []
    validated = task.value(record.validation)
    if task.interval(record.test)[1] < validated - 0.02:
        more.append(
            f"Validation {task.metric_title} ({task.format(validated)}) is above the confidence interval of test "
            f"{task.metric_title}. Either the selection overfitted the validation images, or the test images differ "
            "from them."
        )
    note = sentence(f"Pretrained weights: {record.chosen.note}") if record.chosen.note else ""
    return _judge(record.task, record.test, record.data.issues, choice, note, more)


def judge_training(record: TrainRecord) -> Verdict:
    """The summary of a network that was trained from random weights."""
    choice = (
        f"Trained from random weights: {record.network}, recipe {title(record.plan['recipe'])}, "
        f"{plural(len(record.curve), 'epoch')} over {plural(record.data.train, 'image')}, "
        f"{plural(record.steps, 'step')}."
    )
    if record.best_epoch is not None:
        choice += f" The weights are those of epoch {record.best_epoch}, which has the best validation accuracy."
    halved = record.halved_at
    note = (
        ""
        if halved is None
        else f"The loss became NaN or infinite, so the learning rate was halved at step {halved:,}."
    )
    return _judge(record.task, record.test, record.data.issues, choice, note, [])


def _judge(task: str, test: Any, issues: Sequence[DataIssue], choice: str, note: str, more: Sequence[str]) -> Verdict:
    summary = tasks.get(task).summary(test, issues)
    return Verdict(
        summary=summary,
        choice=choice,
        note=note,
        warnings=tuple(dict.fromkeys([*summary.warnings, *more])),
    )


def name_of(candidate: Candidate) -> str:
    """The name of a candidate in sentences and tables."""
    if candidate.strategy == "head":
        return "linear head on frozen features"
    if candidate.strategy == "scratch":
        return "training from scratch"
    if not candidate.reused_stages:
        return "fine-tuning all stages"
    if not candidate.trained_stages:
        return "fine-tuning the last stages"
    if len(candidate.trained_stages) == 1:
        return f"fine-tuning {candidate.trained_stages[0]}"
    return f"fine-tuning from {candidate.trained_stages[0]} onwards"


def _winner(record: FitRecord) -> Candidate:
    chosen = record.chosen
    same = [c for c in record.candidates if c.strategy == chosen.strategy and c.status == "done"]
    exact = [c for c in same if c.reused_stages == chosen.reused_stages]
    return (exact or same or [Candidate(strategy=chosen.strategy, reused_stages=chosen.reused_stages)])[0]


def is_winner(candidate: Candidate, record: FitRecord) -> bool:
    """Whether `candidate` is the selected one."""
    return candidate is _winner(record)
