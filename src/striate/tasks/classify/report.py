"""What a report says of a classification's score, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from striate.core.words import interval, percent, plural, sentence
from striate.records.results import SERIOUS_ISSUES, DataIssue, Prediction, Score, Summary

MAX_MISTAKES = 24
FEW_TEST_IMAGES = 100
FEW_IMAGES_OF_A_CLASS = 5
LOW_RECALL = 0.5
HIGH_ECE = 0.10
IMBALANCE_POINTS = 0.05


def worst_mistakes(predictions: Iterable[Prediction], limit: int = MAX_MISTAKES) -> tuple[Prediction, ...]:
    """The misclassified test images with the highest predicted probability, sorted by it.

    Args:
        predictions: The predictions of all test images.
        limit: Maximum number of images.
    """
    wrong = [each for each in predictions if each.prediction != each.label]
    return tuple(sorted(wrong, key=lambda each: (-each.probability, each.file))[:limit])


def tells_top5(score: Score) -> bool:
    """Whether there are enough classes for the top-5 accuracy to say something: of five classes it is always 100 %."""
    return len(score.per_class) > 5


def summary(test: Score, issues: Sequence[DataIssue]) -> Summary:
    """The accuracy beside the majority-class baseline, and reasons to distrust it."""
    majority = _majority(test)
    better = test.top1_interval[0] > majority[1]
    if better:
        comparison = f"The majority-class baseline (always predicting '{majority[0]}') is {percent(majority[1])}."
    else:
        comparison = (
            "The accuracy is not significantly better than the majority-class baseline (always predicting "
            f"'{majority[0]}') of {percent(majority[1])}."
        )
    return Summary(
        figure=percent(test.top1),
        title="test accuracy",
        headline=f"Test accuracy: {percent(test.top1)}",
        evidence=(
            f"The 95 % confidence interval is {interval(test.top1_interval)}, from {plural(test.n, 'test image')} that "
            f"were used neither for training nor for model selection. {comparison}"
        ),
        figures=(
            ("Top-1 accuracy", f"{percent(test.top1)} ({interval(test.top1_interval)})"),
            *((("Top-5 accuracy", percent(test.top5)),) if tells_top5(test) else ()),
            ("Balanced accuracy (mean recall)", percent(test.balanced_accuracy)),
            ("Macro F1", percent(test.macro_f1)),
            ("Cross-entropy loss", f"{test.loss:.3f}"),
            ("Calibration error (ECE)", percent(test.ece)),
            ("Majority-class baseline", percent(majority[1])),
        ),
        baseline=majority,
        better_than_baseline=better,
        warnings=tuple(_warnings(test, issues, better, majority)),
    )


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
