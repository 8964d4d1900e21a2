"""What a person should take home from a run, in sentences. The report and the command line open with it."""

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
GRAVE_PROBLEMS = ("leak", "contradiction", "unreadable", "imbalance", "small_class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A run in sentences.

    Args:
        headline: The test accuracy.
        evidence: Its interval, the number of test images, and what guessing would give.
        choice: What was chosen and why, or what was trained and how.
        note: What else there is to say of the choice; empty when nothing.
        better_than_majority: Whether the interval lies above the share of the commonest class.
        majority: Name and test share of the commonest class.
        warnings: What limits trust in the figures, the gravest first.
    """

    headline: str
    evidence: str
    choice: str
    note: str
    better_than_majority: bool
    majority: tuple[str, float]
    warnings: tuple[str, ...]


def judge(record: FitRecord) -> Verdict:
    """The verdict on a fitted classifier."""
    choice = f"Chosen: {record.chosen.backbone}, {name_of(_winner(record))}. {sentence(record.chosen.reason)}"
    more = []
    if record.test.top1_interval[1] < record.validation.top1 - 0.02:
        more.append(
            f"Validation said {percent(record.validation.top1)}, above the whole test interval: the choice fitted the "
            "validation images, or the two differ in kind."
        )
    return _judge(record.test, record.data.issues, choice, sentence(record.chosen.note), more)


def judge_training(record: TrainRecord) -> Verdict:
    """The verdict on a network that was trained from random weights."""
    passes = plural(len(record.curve), "pass", "passes")
    choice = f"{record.network} from random weights, by the recipe {title(record.plan['recipe'])}: {passes} over "
    choice += f"{plural(record.data.train, 'image')}, {plural(record.steps, 'step')}."
    if record.best_epoch is not None:
        choice += f" These are the weights of epoch {record.best_epoch}, the best on the validation images."
    halved = record.halved_at
    note = "" if halved is None else f"The rate was halved at step {halved:,}, where the loss was no number."
    return _judge(record.test, record.data.issues, choice, note, [])


def _judge(test: Score, issues: Sequence[DataIssue], choice: str, note: str, more: Sequence[str]) -> Verdict:
    majority = _majority(test)
    better = test.top1_interval[0] > majority[1]
    if better:
        comparison = f"Always answering '{majority[0]}', the commonest class, would give {percent(majority[1])}."
    else:
        comparison = (
            f"That is not shown to be better than always answering '{majority[0]}', which gives {percent(majority[1])}."
        )
    return Verdict(
        headline=f"{percent(test.top1)} of the test images are named right",
        evidence=(
            f"The 95 % interval is {interval(test.top1_interval)}, from {plural(test.n, 'image')} that took no "
            f"part in training or choosing. {comparison}"
        ),
        choice=choice,
        note=note,
        better_than_majority=better,
        majority=majority,
        warnings=tuple(dict.fromkeys([*_warnings(test, issues, better, majority), *more])),
    )


def name_of(candidate: Candidate) -> str:
    """What a candidate is called in front of people."""
    if candidate.strategy == "head":
        return "a new head on frozen features"
    if candidate.strategy == "scratch":
        return "training from scratch"
    if not candidate.reused_stages:
        return "fine-tuning of all stages"
    first = candidate.trained_stages[0] if candidate.trained_stages else "the top"
    return f"fine-tuning from {first} up"


def _winner(record: FitRecord) -> Candidate:
    chosen = record.chosen
    same = [c for c in record.candidates if c.strategy == chosen.strategy and c.status == "done"]
    exact = [c for c in same if c.reused_stages == chosen.reused_stages]
    return (exact or same or [Candidate(strategy=chosen.strategy, reused_stages=chosen.reused_stages)])[0]


def is_winner(candidate: Candidate, record: FitRecord) -> bool:
    """Whether `candidate` is the one that was chosen."""
    return candidate is _winner(record)


def _majority(test: Score) -> tuple[str, float]:
    if not test.per_class or not test.n:
        return ("the commonest class", 0.0)
    commonest = max(test.per_class, key=lambda row: row.n)
    return (commonest.label, commonest.n / test.n)


def _warnings(test: Score, issues: Sequence[DataIssue], better: bool, majority: tuple[str, float]) -> list[str]:
    found: list[str] = []
    if not better:
        found.append(
            f"Not better than a constant answer as far as these images can tell: '{majority[0]}' alone gives "
            f"{percent(majority[1])}. Do not use this classifier before it has more images or better ones."
        )
    for issue in sorted((p for p in issues if p.kind in GRAVE_PROBLEMS), key=lambda p: GRAVE_PROBLEMS.index(p.kind)):
        found.append(sentence(issue.detail))
    if test.n < FEW_TEST_IMAGES:
        width = 100 * (test.top1_interval[1] - test.top1_interval[0])
        found.append(
            f"Only {plural(test.n, 'test image')}: the interval is {width:.0f} points wide. More labelled images "
            "would tell more."
        )
    weak = [row for row in test.per_class if row.recall is not None and row.recall < LOW_RECALL]
    if weak:
        worst = min(weak, key=lambda row: row.recall or 0.0)
        more = f", and {plural(len(weak) - 1, 'other class', 'other classes')} likewise" if len(weak) > 1 else ""
        found.append(
            f"'{worst.label}' is recognised in only {percent(worst.recall)} of its {plural(worst.n, 'image')}{more}."
        )
    rare = [row for row in test.per_class if row.n < FEW_IMAGES_OF_A_CLASS]
    if rare:
        found.append(
            f"{plural(len(rare), 'class has', 'classes have')} fewer than {FEW_IMAGES_OF_A_CLASS} test images "
            f"('{rare[0].label}' has {rare[0].n}); their own figures mean little."
        )
    if test.top1 - test.balanced_accuracy > IMBALANCE_POINTS:
        found.append(
            f"Common classes do better than rare ones: averaged over classes it is {percent(test.balanced_accuracy)}."
        )
    if test.ece > HIGH_ECE and test.n >= FEW_TEST_IMAGES:
        found.append(
            f"Its probabilities are off by {100 * test.ece:.0f} points on average; set no threshold on them unseen."
        )
    return [warning for warning in found if warning]
