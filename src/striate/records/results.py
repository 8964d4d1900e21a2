"""What a job found out. Command line, web page and report present these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Strategy = Literal["head", "finetune", "scratch"]

SERIOUS_ISSUES = ("leak", "contradiction", "unreadable", "imbalance", "small_class")
"""Kinds of `DataIssue` that are reasons to distrust a score, the most serious first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataIssue:
    """Something about the data that a person should know.

    Args:
        kind: ``unreadable``, ``duplicate``, ``contradiction``, ``imbalance``, ``small_class``, ``mode``,
            ``orientation``, ``animated``, ``size``, ``leak``, ``skipped``.
        files: The images concerned, by their names within the data.
        detail: One sentence.
    """

    kind: str
    files: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a task says of a test score, for reports and the command line.

    Args:
        figure: The metric, formatted: ``97.4 %``.
        title: What the figure is: ``test accuracy``.
        headline: Both in a sentence without a full stop.
        evidence: The confidence interval, the number of images, and how a trivial model compares.
        figures: Rows of a table: name and formatted value.
        baseline: A trivial model and its metric; None without one.
        better_than_baseline: Whether the whole confidence interval is better than the baseline.
        warnings: Reasons to distrust the score, the most serious first.
    """

    figure: str
    title: str
    headline: str
    evidence: str
    figures: tuple[tuple[str, str], ...]
    baseline: tuple[str, float] | None = None
    better_than_baseline: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class's row. Precision, recall and f1 are shares from 0 to 1; None where nothing was predicted or present."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One bin of the reliability diagram: mean confidence and accuracy of `n` images."""

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a model does on labelled images. Shares run from 0 to 1.

    Args:
        n: Images.
        top1: Share whose likeliest class is right.
        top1_interval: 95 % interval of it (Wilson).
        top5: Share whose label is among the five likeliest; of fewer classes, among all but none.
        loss: Mean negative log-likelihood in nats, after temperature scaling where `temperature` is not 1.
        ece: Expected calibration error over 15 bins of equal width.
        balanced_accuracy: Mean recall over the classes that are present.
        macro_f1: Mean F1 over the classes that are present.
        temperature: What logits were divided by.
        per_class: A row for every class.
        confusion: Counts, rows are labels, columns predictions.
        reliability: Bins that hold at least one image.
    """

    n: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    loss: float
    ece: float
    balanced_accuracy: float
    macro_f1: float
    temperature: float = 1.0
    per_class: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much better than another a classifier is on the same images.

    Args:
        top1: The difference of their accuracies, from -1 to 1.
        interval: 95 % interval of it, for pairs.
    """

    top1: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScore:
    """One of the ways of classifying that an evaluation sets side by side. Shares run from 0 to 1.

    Args:
        model: As it was named, or what an ensemble is made of.
        tta: Name of the test-time augmentation; None without.
        top1: Share whose likeliest class is right.
        top1_interval: 95 % interval of it (Wilson).
        top1_error: What it leaves.
        top5: Share whose label is among the five likeliest.
        top5_interval: 95 % interval of it.
        top5_error: What it leaves.
        loss: Mean negative log-likelihood in nats.
        ece: Expected calibration error.
        gain: Beyond the first single network with a single look; None for that one itself.
        trained_on: Images among those evaluated that the network's training or its choices saw; None for ensembles,
            and where that is not known.
    """

    model: str
    tta: str | None
    top1: float
    top1_interval: tuple[float, float]
    top1_error: float
    top5: float
    top5_interval: tuple[float, float]
    top5_error: float
    loss: float
    ece: float
    gain: Difference | None = None
    trained_on: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecord(Score):
    """An evaluation: the score of everything together, and beside it that of each part.

    Args:
        single: Each network without test-time augmentation, and with it if it was asked for.
        ensemble: All of them together, in the same way; empty where there is one network.
    """

    single: tuple[ModelScore, ...] = ()
    ensemble: tuple[ModelScore, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProbe:
    """Accuracy of a linear probe on one stage's pooled features, cross-validated on the training images.

    Args:
        stage: Name of the feature layer.
        channels: Length of the features.
        top1: Mean accuracy over the folds.
        top1_interval: 95 % interval.
        loss: Mean negative log-likelihood in nats.
        C: The inverse regularisation that was chosen.
    """

    stage: str
    channels: int
    top1: float
    top1_interval: tuple[float, float]
    loss: float
    C: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way of making the classifier, and what validation said of it.

    Args:
        strategy: ``head`` (frozen features), ``finetune`` (top stages trained too), or ``scratch``.
        status: ``done`` or ``skipped``.
        reason: Why it was skipped, or what was special.
        reused_stages: Pretrained stages that did not move.
        trained_stages: Stages that were trained.
        validation: Its score on the validation images; None when skipped.
        input_px: Height and width of the images it was trained on.
        epochs: Number of epochs.
        steps: Optimiser steps.
        macs: Multiply-adds that its training spent.
        curve: A row an epoch: ``epoch, loss, validation_top1``.
        seconds: Time it took.
    """

    strategy: Strategy
    status: Literal["done", "skipped"] = "done"
    reason: str = ""
    reused_stages: tuple[str, ...] = ()
    trained_stages: tuple[str, ...] = ()
    validation: Any = None
    input_px: tuple[int, int] | None = None
    epochs: int = 0
    steps: int = 0
    macs: float = 0.0
    curve: tuple[dict[str, float], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The winner and why it won."""

    backbone: str
    weights: str
    strategy: Strategy
    reused_stages: tuple[str, ...]
    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSummary:
    """What went in.

    Args:
        source: As the user named it; empty in records of before it was kept, and `counts` too.
        classes: Names in the order of the model's outputs.
        counts: Images of each class: name to ``{train, validation, test, unused}``.
        train: Images trained on.
        validation: Images that choices were made by.
        test: Images of the test set.
        unused: Readable images left out by ``--per-class``.
        unreadable: Images that could not be read.
        issues: What a person should know.
    """

    classes: tuple[str, ...]
    train: int
    validation: int
    test: int
    source: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    unused: int = 0
    unreadable: int = 0
    issues: tuple[DataIssue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One test image: a row of ``predictions.csv``."""

    file: str
    label: str
    prediction: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecord:
    """Everything that ``metrics.json`` holds.

    Args:
        task: Name of the task, which defines the types of the scores and the probes.
        test: The winner on the test images.
        validation: The winner on the validation images.
        chosen: The winner.
        candidates: Every way that was tried or skipped.
        depth: The linear probe of every feature layer, each of the task's `probe_type`.
        unprobed: Feature layers that the budget left no time to probe.
        data: What went in.
        cost: Totals of the sizing engine for the chosen network.
        engine: What ran the cached pass, and how well it agreed with eager float32.
        seconds: Times; ``total`` among them.
        seed: Of the run.
        versions: Of striate and of what it computes with.
        start: Where the chosen network's first weights came from, as in ``model.json``.
    """

    task: str = "classify"
    test: Any
    validation: Any
    chosen: Chosen
    candidates: tuple[Candidate, ...]
    depth: tuple[Any, ...]
    data: DataSummary
    cost: dict[str, Any]
    engine: dict[str, Any]
    seconds: dict[str, float]
    seed: int
    versions: dict[str, str]
    format: int = 1
    plan: dict[str, Any] = field(default_factory=dict)
    start: dict[str, str] = field(default_factory=dict)
    unprobed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """How many images of a step were run at a time.

    Args:
        step: The first step at which it was so.
        images: Their number.
    """

    step: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecord:
    """Everything that ``metrics.json`` of a training run holds.

    Args:
        task: Name of the task, which defines the type of the score.
        network: Its name.
        test: Score on the test images, which the schedule never saw.
        data: What went in.
        recipe: How it was trained.
        curve: One row per epoch: ``epoch, loss, lr``, and with validation ``top1``.
        steps: Optimiser steps.
        resumes: The steps at which the run resumed.
        halved_at: The step at which the learning rate was halved because the loss was NaN or infinite; None if never.
        precision: Of the arithmetic, as it ran.
        micro_batches: The micro-batch sizes in use, each with its first step. Batch-norm statistics are those of a
            micro-batch; gradients accumulate over the micro-batches of a batch.
        best_epoch: The epoch whose weights these are, by validation; None for the last one's, without validation.
        validation: Accuracy of that epoch on the validation images.
        snapshots: Number of snapshots, one per cycle of the learning rate.
        cost: Totals of the sizing engine for the network.
        seconds: Times.
    """

    task: str = "classify"
    network: str
    test: Any
    data: DataSummary
    recipe: dict[str, Any]
    curve: tuple[dict[str, float], ...]
    steps: int
    seconds: dict[str, float]
    seed: int
    versions: dict[str, str]
    plan: dict[str, Any]
    resumes: tuple[int, ...] = ()
    halved_at: int | None = None
    precision: str = "float32"
    micro_batches: tuple[MicroBatch, ...] = ()
    best_epoch: int | None = None
    validation: float | None = None
    snapshots: int = 0
    cost: dict[str, Any] = field(default_factory=dict)
    format: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """How a file's tensors went into a network: every one of them, on both sides.

    Args:
        source: Whose names the file uses.
        matched: Tensors of the network that the file filled.
        skipped: Tensors of the file that were left out on purpose, each with the reason.
        fresh: Tensors of the network that keep their first values, each with the reason.
        cast: Changes of number format (``"float16 to float32"``) to how many tensors they befell.
    """

    source: str
    matched: int
    skipped: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    cast: dict[str, int] = field(default_factory=dict)
