"""The sentences above each section of the report."""

from __future__ import annotations

from dataclasses import dataclass

from striate import tasks
from striate.core.words import percent, plural, sentence, span
from striate.records.results import Candidate, ClassScore, FitRecord, Score, TrainRecord
from striate.report.verdict import is_winner, name_of

MAX_PAIRS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often one class was predicted as another.

    Args:
        label: The true label.
        prediction: The predicted label.
        n: Number of test images.
        fraction: Fraction of the test images with that true label.
    """

    label: str
    prediction: str
    n: int
    fraction: float


def confusions(record: FitRecord | TrainRecord, limit: int = MAX_PAIRS) -> list[Confusion]:
    """The most frequent confusions on the test set, at most `limit` of them."""
    classes, pairs = record.data.classes, []
    for label, row in zip(classes, record.test.confusion, strict=True) if record.test.confusion else ():
        total = sum(row)
        for prediction, n in zip(classes, row, strict=True):
            if n and prediction != label:
                pairs.append(Confusion(label=label, prediction=prediction, n=n, fraction=n / total))
    return sorted(pairs, key=lambda pair: (-pair.n, -pair.fraction, pair.label, pair.prediction))[:limit]


def judged_on(record: FitRecord) -> str:
    """The images on which the candidates were compared."""
    if record.validation.n > record.data.validation:
        return f"cross-validated on {plural(record.validation.n, 'image')}"
    return f"evaluated on {plural(record.validation.n, 'validation image')}"


def on_candidates(record: FitRecord) -> str:
    """The lead of the selected candidate, and whether it is larger than the confidence interval."""
    task, done = tasks.get(record.task), [c for c in record.candidates if c.validation is not None]
    winner = next((c for c in done if is_winner(c, record)), None)
    others = [c for c in done if c is not winner]
    if winner is None or winner.validation is None or not others:
        skipped = sum(c.status == "skipped" for c in record.candidates)
        return f"One candidate was evaluated and {skipped} skipped." if skipped else "One candidate was evaluated."
    best = max(others, key=lambda each: task.value(each.validation))
    second = task.value(best.validation)
    lead = task.value(winner.validation) - second
    difference = task.format_difference(abs(lead))
    if difference == task.format_difference(0.0):
        compared = f"has the same validation {task.metric_title} as {_with_article(best)}"
    else:
        compared = f"is {difference} {'ahead of' if lead > 0 else 'behind'} {_with_article(best)}"
    low, high = task.interval(winner.validation)
    certainty = (
        "This is within the 95 % confidence interval, so these images cannot show which of the two is better."
        if low <= second <= high
        else "This is outside the 95 % confidence interval."
    )
    return sentence(f"{_with_article(winner)} {compared}. {certainty}")


def _with_article(candidate: Candidate) -> str:
    return f"the {name_of(candidate)}" if candidate.strategy == "head" else name_of(candidate)


def above_the_cut(record: FitRecord) -> str:
    """What happened to the stages above the cut."""
    return {"head": "removed", "finetune": "trained", "scratch": "trained"}[record.chosen.strategy]


def on_depth(record: FitRecord) -> str:
    """The best layer for a linear probe, and the stages that the selected model keeps frozen."""
    task = tasks.get(record.task)
    best = max(record.depth, key=task.value)
    kept = record.chosen.reused_stages
    if record.chosen.strategy == "scratch" or not kept:
        use = "The selected model keeps no pretrained stage frozen."
    else:
        use = f"The selected model keeps the {'stage' if len(kept) == 1 else 'stages'} {span(kept)} frozen."
    return (
        f"The linear probe on {best.stage} has the highest {task.metric_title} ({task.format(task.value(best))}). {use}"
    )


def on_confusion(record: FitRecord | TrainRecord) -> str:
    """The number of errors and the most frequent confusion."""
    pairs = confusions(record, 2)
    if not pairs:
        return "No test image was misclassified."
    wrong = record.test.n - sum(row[i] for i, row in enumerate(record.test.confusion))
    first = pairs[0]
    return (
        f"{wrong:,} of {plural(record.test.n, 'test image')} {'was' if wrong == 1 else 'were'} misclassified. The most "
        f"frequent confusion is '{first.label}' predicted as '{first.prediction}': {plural(first.n, 'image')}, "
        f"{percent(first.fraction)} of that class."
    )


def on_classes(record: FitRecord | TrainRecord) -> str:
    """The classes with the highest and the lowest recall."""
    rows = [row for row in record.test.per_class if row.recall is not None]
    if not rows:
        return "No class has a test image."
    worst, best = min(rows, key=_recall), max(rows, key=_recall)
    if worst.recall == best.recall:
        return f"The recall of every class is {percent(best.recall)}."
    return (
        f"Recall is highest for '{best.label}' ({percent(best.recall)}) and lowest for '{worst.label}' "
        f"({percent(worst.recall)}). Balanced accuracy (mean recall) is {percent(record.test.balanced_accuracy)}; "
        f"macro F1 (mean F1) is {percent(record.test.macro_f1)}."
    )


def _recall(row: ClassScore) -> float:
    return row.recall or 0.0


def on_calibration(test: Score) -> str:
    """The expected calibration error, and whether the model is overconfident or underconfident."""
    error = (
        f"The expected calibration error (ECE) is {100 * test.ece:.1f} percentage points: the average difference "
        "between the predicted probability and the accuracy."
    )
    if not test.reliability:
        return error
    confidence = sum(b.confidence * b.n for b in test.reliability) / sum(b.n for b in test.reliability)
    gap = 100 * (confidence - test.top1)
    if abs(gap) < 1:
        return f"{error} On average the model is neither overconfident nor underconfident."
    kind = "overconfident" if gap > 0 else "underconfident"
    return f"{error} On average the model is {kind} by {abs(gap):.1f} percentage points."


def on_training(record: TrainRecord) -> str:
    """The first and the last loss, the best epoch, and how often the run was resumed."""
    first, last = record.curve[0]["loss"], record.curve[-1]["loss"]
    text = f"The training loss fell from {first:.3f} in the first epoch to {last:.3f} in the last."
    if last >= first:
        text = f"The training loss did not fall: {first:.3f} in the first epoch, {last:.3f} in the last."
    if record.best_epoch is not None:
        text += f" Validation accuracy was highest after epoch {record.best_epoch}: {percent(record.validation)}."
    if record.resumes:
        times = "once" if len(record.resumes) == 1 else plural(len(record.resumes), "time")
        text += f" The run was interrupted and resumed {times}."
    return text


def on_data(record: FitRecord | TrainRecord) -> str:
    """The number of images and how they were split."""
    data = record.data
    total = data.train + data.validation + data.test + data.unused
    unused = f" {plural(data.unused, 'readable image')} {'was' if data.unused == 1 else 'were'} not used." * (
        data.unused > 0
    )
    classes = f" in {plural(len(data.classes), 'class', 'classes')}" if data.classes else ""
    split = f"{data.train:,} for training"
    if isinstance(record, FitRecord) and record.validation.n > data.validation:
        split = f"{data.train + data.validation:,} for training and cross-validation"
    elif data.validation:
        split += f", {data.validation:,} for validation"
    return (
        f"The dataset has {plural(total, 'image')}{classes}: {split} and "
        f"{data.test:,} for testing. The test images were evaluated once, at the end.{unused}"
    )
