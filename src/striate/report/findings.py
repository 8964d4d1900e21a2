"""What each part of the report shows, said in a sentence or two above it."""

from __future__ import annotations

from dataclasses import dataclass

from striate.core.words import percent, plural, sentence, span
from striate.records.results import Candidate, ClassScore, FitRecord, Score, TrainRecord
from striate.report.verdict import is_winner, name_of

MOST_PAIRS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often one class was taken for another.

    Args:
        label: What it was.
        prediction: What it was taken for.
        n: How often.
        share: Of the images with that label.
    """

    label: str
    prediction: str
    n: int
    share: float


def confusions(record: FitRecord | TrainRecord, most: int = MOST_PAIRS) -> list[Confusion]:
    """The most frequent confusions on the test images, at most `most` of them."""
    classes, pairs = record.data.classes, []
    for label, row in zip(classes, record.test.confusion, strict=True) if record.test.confusion else ():
        total = sum(row)
        for prediction, n in zip(classes, row, strict=True):
            if n and prediction != label:
                pairs.append(Confusion(label=label, prediction=prediction, n=n, share=n / total))
    return sorted(pairs, key=lambda pair: (-pair.n, -pair.share, pair.label, pair.prediction))[:most]


def judged_on(record: FitRecord) -> str:
    """By which images the candidates were told apart, in words."""
    if record.validation.n > record.data.validation:
        return f"the {record.validation.n:,} labelled images, cross-validated"
    return f"the {plural(record.validation.n, 'validation image')}"


def on_candidates(record: FitRecord) -> str:
    """How far the winner leads, and whether that can be told from chance."""
    done = [c for c in record.candidates if c.validation is not None]
    winner = next((c for c in done if is_winner(c, record)), None)
    others = [c for c in done if c is not winner]
    if winner is None or winner.validation is None or not others:
        skipped = sum(c.status == "skipped" for c in record.candidates)
        return f"One way was tried, {skipped} skipped." if skipped else "One way was tried."
    best = max(others, key=_top1)
    lead = 100 * (_top1(winner) - _top1(best))
    if abs(lead) < 0.05:
        compared = f"is level with {name_of(best)}"
    else:
        compared = f"is {abs(lead):.1f} points {'ahead of' if lead > 0 else 'behind'} {name_of(best)}"
    low, high = winner.validation.top1_interval
    told = (
        f"That lies within the 95 % interval; {plural(winner.validation.n, 'image')} cannot tell them apart."
        if low <= _top1(best) <= high
        else "That lies outside the 95 % interval."
    )
    return sentence(f"{name_of(winner)} {compared}. {told}")


def _top1(candidate: Candidate) -> float:
    return candidate.validation.top1 if candidate.validation is not None else 0.0


def above_the_cut(record: FitRecord) -> str:
    """What befell the stages above the cut."""
    return {"head": "left out", "finetune": "trained", "scratch": "trained"}[record.chosen.strategy]


def on_depth(record: FitRecord) -> str:
    """Where the pretrained features serve these images best, and what was made of it."""
    best = max(record.depth, key=lambda point: point.top1)
    kept = record.chosen.reused_stages
    if record.chosen.strategy == "scratch" or not kept:
        use = "The chosen network keeps none of the pretrained stages as they were."
    else:
        through = span(kept)
        use = f"The chosen network keeps {through} as {'it was' if len(kept) == 1 else 'they were'}."
    return f"A linear classifier does best on the features of {best.stage}, with {percent(best.top1)}. {use}"


def on_confusion(record: FitRecord | TrainRecord) -> str:
    """The commonest confusion."""
    pairs = confusions(record, 2)
    if not pairs:
        return "No test image was taken for another class."
    wrong = record.test.n - sum(row[i] for i, row in enumerate(record.test.confusion))
    first = pairs[0]
    return (
        f"{plural(wrong, 'image')} of {record.test.n:,} went wrong. The commonest confusion: '{first.label}' taken "
        f"for '{first.prediction}', {plural(first.n, 'time')} ({percent(first.share)} of them)."
    )


def on_classes(record: FitRecord | TrainRecord) -> str:
    """The classes that are found best and worst."""
    rows = [row for row in record.test.per_class if row.recall is not None]
    if not rows:
        return "No class has a test image."
    worst, best = min(rows, key=_recall), max(rows, key=_recall)
    if worst.recall == best.recall:
        return f"Every class is found alike, in {percent(best.recall)} of its images."
    return (
        f"Found best: '{best.label}' ({percent(best.recall)}); found worst: '{worst.label}' ({percent(worst.recall)}). "
        f"Averaged over classes, recall is {percent(record.test.balanced_accuracy)} and F1 "
        f"{percent(record.test.macro_f1)}."
    )


def _recall(row: ClassScore) -> float:
    return row.recall or 0.0


def on_calibration(test: Score) -> str:
    """How far the stated probabilities can be taken at their word."""
    off = f"On average the stated probability is off by {100 * test.ece:.1f} points (expected calibration error)."
    if not test.reliability:
        return off
    says = sum(b.confidence * b.n for b in test.reliability) / sum(b.n for b in test.reliability)
    lean = 100 * (says - test.top1)
    if abs(lean) < 1:
        leaning = "It is neither too sure nor too shy."
    else:
        leaning = f"It is {'too sure' if lean > 0 else 'too shy'} by {abs(lean):.1f} points."
    return f"{off} {leaning}"


def on_training(record: TrainRecord) -> str:
    """Where the loss began and ended, which epoch was best, and how often the run was stopped."""
    first, last = record.curve[0]["loss"], record.curve[-1]["loss"]
    said = f"The loss fell from {first:.3f} in the first epoch to {last:.3f} in the last."
    if last >= first:
        said = f"The loss did not fall: {first:.3f} in the first epoch, {last:.3f} in the last."
    if record.best_epoch is not None:
        said += f" Validation was best after epoch {record.best_epoch}, with {percent(record.validation)}."
    if record.resumes:
        said += f" It was stopped {plural(len(record.resumes), 'time')} and went on from where it was."
    return said


def on_data(record: FitRecord | TrainRecord) -> str:
    """How many images there were and how they were parted."""
    data = record.data
    total = data.train + data.validation + data.test + data.unused
    unused = f" {plural(data.unused, 'readable image')} stayed unused." if data.unused else ""
    parted = f"{data.train:,} to train on, {data.validation:,} to choose by"
    if isinstance(record, TrainRecord):
        chosen = f", {data.validation:,} to choose the epoch by" if data.validation else ""
        parted = f"{data.train:,} to train on{chosen}"
    elif record.validation.n > data.validation:
        parted = f"{data.train + data.validation:,} to train on and to choose by, in turn"
    return (
        f"{plural(total, 'image')} in {plural(len(data.classes), 'class', 'classes')}: {parted}, "
        f"{data.test:,} looked at once, at the end.{unused}"
    )
