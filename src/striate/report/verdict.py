"""The summary of a run in sentences. The report and the command line begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.core.words import interval, percent, plural, sentence
from striate.records.recipes import title
from striate.records.results import Candidate, DataIssue, FitRecord, Score, TrainRecord

FEW_TEST_IMAGES = 100
FEW_IMAGES_OF_A_CLASS = 5
LOW_RECALL = 0.5
HIGH_ECE = 0.10
IMBALANCE_POINTS = 0.05
SERIOUS_ISSUES = ("leak", "contradiction", "unreadable", "imbalance", "small_class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The summary of a run.

    Args:
        headline: The test accuracy.
        evidence: The confidence interval, the number of test images and the majority-class baseline.
        choice: The selected candidate and the reason, or the network and recipe that were trained.
        note: A remark about the choice; empty if there is none.
        better_than_majority: Whether the whole confidence interval lies above the majority-class baseline.
        majority: The most common class of the test set and its fraction, the majority-class baseline.
        warnings: Reasons to distrust the results, the most serious first.
    """

    headline: str
    evidence: str
    choice: str
    note: str
    better_than_majority: bool
    majority: tuple[str, float]
    warnings: tuple[str, ...]


def judge(record: FitRecord) -> Verdict:
    """The summary of a fitted classifier."""
    choice = f"Selected: {record.chosen.backbone}, {name_of(_winner(record))}. {sentence(record.chosen.reason)}"
    more = []
    if record.test.top1_interval[1] < record.validation.top1 - 0.02:
        more.append(
            f"Validation accuracy ({percent(record.validation.top1)}) is above the confidence interval of test "
            "accuracy. Either the selection overfitted the validation images, or the test images differ from them."
        )
    return _judge(record.test, record.data.issues, choice, sentence(record.chosen.note), more)


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
    return _judge(record.test, record.data.issues, choice, note, [])


def _judge(test: Score, issues: Sequence[DataIssue], choice: str, note: str, more: Sequence[str]) -> Verdict:
    majority = _majority(test)
    better = test.top1_interval[0] > majority[1]
    if better:
        comparison = f"The majority-class baseline (always predicting '{majority[0]}') is {percent(majority[1])}."
    else:
        comparison = (
            "The accuracy is not significantly better than the majority-class baseline (always predicting "
            f"'{majority[0]}') of {percent(majority[1])}."
        )
    return Verdict(
        headline=f"Test accuracy: {percent(test.top1)}",
        evidence=(
            f"The 95 % confidence interval is {interval(test.top1_interval)}, from {plural(test.n, 'test image')} that "
            f"were used neither for training nor for model selection. {comparison}"
        ),
        choice=choice,
        note=note,
        better_than_majority=better,
        majority=majority,
        warnings=tuple(dict.fromkeys([*_warnings(test, issues, better, majority), *more])),
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


def _majority(test: Score) -> tuple[str, float]:
    if not test.per_class or not test.n:
        return ("the most common class", 0.0)
    largest = max(test.per_class, key=lambda row: row.n)
    return (largest.label, largest.n / test.n)


def _warnings(test: Score, issues: Sequence[DataIssue], better: bool, majority: tuple[str, float]) -> list[str]:
    found: list[str] = []
    if not better:
        found.append(
            f"The accuracy is not significantly better than the majority-class baseline of {percent(majority[1])}. Do "
            "not use this classifier; train it on more or better images."
        )
    for issue in sorted((p for p in issues if p.kind in SERIOUS_ISSUES), key=lambda p: SERIOUS_ISSUES.index(p.kind)):
        found.append(sentence(issue.detail))
    if test.n < FEW_TEST_IMAGES:
        width = 100 * (test.top1_interval[1] - test.top1_interval[0])
        found.append(
            f"The test set has only {plural(test.n, 'image')}, so the confidence interval is {width:.0f} percentage "
            "points wide. Add labelled images to narrow it."
        )
    weak = [row for row in test.per_class if row.recall is not None and row.recall < LOW_RECALL]
    if weak:
        worst = min(weak, key=lambda row: row.recall or 0.0)
        found.append(
            f"The recall of '{worst.label}' is only {percent(worst.recall)} ({plural(worst.n, 'test image')})."
        )
        if len(weak) > 1:
            more = plural(len(weak) - 1, "other class has", "other classes have")
            found[-1] += f" {more} a recall below {percent(LOW_RECALL)}."
    rare = [row for row in test.per_class if row.n < FEW_IMAGES_OF_A_CLASS]
    if rare:
        found.append(
            f"{plural(len(rare), 'class has', 'classes have')} fewer than {FEW_IMAGES_OF_A_CLASS} test images "
            f"('{rare[0].label}' has {rare[0].n}), so their per-class metrics are unreliable."
        )
    if test.top1 - test.balanced_accuracy > IMBALANCE_POINTS:
        found.append(
            "The model does better on common classes than on rare ones: balanced accuracy (mean recall) is only "
            f"{percent(test.balanced_accuracy)}."
        )
    if test.ece > HIGH_ECE and test.n >= FEW_TEST_IMAGES:
        found.append(
            f"The predicted probabilities are off by {100 * test.ece:.0f} percentage points on average. Check them on "
            "your own images before you set a threshold."
        )
    return [warning for warning in found if warning]
