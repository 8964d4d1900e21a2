"""Records that look like real runs."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence

from PIL import Image

from striate.core.seed import generator
from striate.records.results import (
    Bin,
    Candidate,
    Chosen,
    ClassScore,
    DataIssue,
    DataSummary,
    Difference,
    EvalRecord,
    FitRecord,
    LayerProbe,
    ModelScore,
    Score,
    TrainRecord,
)


def wilson(right: float, n: int) -> tuple[float, float]:
    p, z = right / n, 1.959964
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))


def evaluated(score: Score, *, singles: Sequence[str] = ("runs/x",), together: Difference | None = None) -> EvalRecord:
    """An evaluation with the metrics `score`: single models and, if `together` is given, their ensemble."""

    def standing(model: str, gain: Difference | None) -> ModelScore:
        return ModelScore(
            model=model,
            tta=None,
            top1=score.top1,
            top1_interval=score.top1_interval,
            top1_error=1 - score.top1,
            top5=score.top5,
            top5_interval=(0.9, 1.0),
            top5_error=1 - score.top5,
            loss=score.loss,
            ece=score.ece,
            gain=gain,
        )

    same = Difference(top1=0.0, interval=(-0.01, 0.01))
    return EvalRecord(
        **{field.name: getattr(score, field.name) for field in dataclasses.fields(score)},
        single=tuple(standing(name, same if place else None) for place, name in enumerate(singles)),
        ensemble=() if together is None else (standing(f"ensemble of {len(singles)}", together),),
    )


def score_of(classes: Sequence[str], confusion: Sequence[Sequence[int]], *, sure: float = 0.02) -> Score:
    """The score of a confusion matrix; `sure` is how far the predicted probabilities exceed the accuracy."""
    n, right = sum(map(sum, confusion)), sum(row[i] for i, row in enumerate(confusion))
    rows = []
    for i, name in enumerate(classes):
        labelled, named = sum(confusion[i]), sum(row[i] for row in confusion)
        recall = confusion[i][i] / labelled if labelled else None
        precision = confusion[i][i] / named if named else None
        f1 = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
        rows.append(ClassScore(label=name, precision=precision, recall=recall, f1=f1, n=labelled))
    recalls = [row.recall for row in rows if row.recall is not None]
    bins = [
        Bin(confidence=c, accuracy=max(0.0, min(1.0, c - sure + d)), n=max(1, round(share * n)))
        for c, d, share in (
            (0.37, 0.09, 0.02),
            (0.48, -0.07, 0.05),
            (0.63, 0.03, 0.08),
            (0.78, -0.05, 0.12),
            (0.91, 0.02, 0.2),
        )
    ]
    bins.append(Bin(confidence=0.985, accuracy=0.985 - sure, n=max(1, n - sum(b.n for b in bins))))
    return Score(
        n=n,
        top1=right / n,
        top1_interval=wilson(right, n),
        top5=1.0,
        loss=0.31,
        ece=0.021 + sure / 2,
        balanced_accuracy=sum(recalls) / len(recalls),
        macro_f1=sum(row.f1 or 0.0 for row in rows) / len(rows),
        temperature=1.31,
        per_class=tuple(rows),
        confusion=tuple(map(tuple, confusion)),
        reliability=tuple(bins),
    )


def draw_confusion(classes: int, n: int, accuracy: float, seed: int = 0) -> list[list[int]]:
    draw = generator("confusion", classes, n, seed)
    table = []
    for i in range(classes):
        share = (1 - accuracy) * draw.dirichlet([0.35] * classes)
        share[i] += accuracy
        table.append([int(v) for v in draw.multinomial(n, share)])
    return table


def fit_record(
    classes: Sequence[str] = ("daisy", "dandelion", "roses", "sunflowers", "tulips"), *, n: int = 48
) -> FitRecord:
    k = len(classes)
    test = score_of(classes, draw_confusion(k, n, 0.9))

    def validation(accuracy: float, seed: int) -> Score:
        return score_of(classes, draw_confusion(k, n, accuracy, seed))

    stages = ("stem", "stage1", "stage2", "stage3", "stage4", "stage5")
    accuracies = (0.41, 0.52, 0.63, 0.78, 0.868, 0.874)
    head, tuned, scratch = validation(0.86, 3), validation(0.95, 4), validation(0.55, 5)
    return FitRecord(
        test=test,
        validation=tuned,
        chosen=Chosen(
            backbone="mobilenet_v2",
            weights="imagenet",
            strategy="finetune",
            reused_stages=stages[:4],
            reason="it leads on validation by more than the head's standard error",
            note="resnet50 has better published weights, but their file is not here and STRIATE_OFFLINE is set.",
        ),
        candidates=(
            Candidate(
                strategy="head", reused_stages=stages, validation=head, input_px=(224, 224), seconds=3.4, macs=2.1e9
            ),
            Candidate(
                strategy="finetune",
                reused_stages=stages[:4],
                trained_stages=stages[4:],
                validation=tuned,
                input_px=(224, 224),
                epochs=12,
                steps=420,
                macs=1.1e12,
                seconds=71.2,
            ),
            Candidate(
                strategy="scratch",
                trained_stages=stages,
                validation=scratch,
                input_px=(128, 128),
                epochs=30,
                steps=900,
                macs=1.4e12,
                seconds=66.0,
            ),
            Candidate(strategy="finetune", status="skipped", reason="the budget of 150 s would not hold a second one"),
        ),
        depth=tuple(
            LayerProbe(stage=s, channels=c, top1=a, top1_interval=wilson(a * 420, 420), loss=1 - a, C=0.1)
            for s, c, a in zip(stages, (16, 24, 32, 96, 320, 1280), accuracies, strict=True)
        ),
        data=DataSummary(
            source="photos-flowers.tar",
            classes=tuple(classes),
            counts={name: {"train": 3 * n, "validation": n, "test": n, "unused": 0} for name in classes},
            train=3 * n * k,
            validation=n * k,
            test=n * k,
            issues=(
                DataIssue(
                    kind="unreadable", files=("roses/8f21.jpg",), detail="1 image cannot be decoded and was left out."
                ),
                DataIssue(
                    kind="duplicate", files=("tulips/a.jpg", "tulips/b.jpg"), detail="2 files hold the same image."
                ),
                DataIssue(
                    kind="mode", files=tuple(f"daisy/{i}.jpg" for i in range(7)), detail="7 images are greyscale."
                ),
            ),
        ),
        cost={
            "params": 2_230_277,
            "weights": 2_190_000,
            "macs": 300_774_272,
            "activation_bytes": 74_000_000,
            "receptive_field": [491, 491],
            "stride": [32, 32],
        },
        engine={"name": "openvino", "cosine_least": 0.9999991, "images_checked": 16},
        seconds={"total": 154.2, "features": 18.0, "finetune": 71.2, "scratch": 66.0},
        seed=0,
        versions={"striate": "0.1.0", "torch": "2.13.0", "openvino": "2026.4.1", "python": "3.11.2"},
        plan={"data": "photos-flowers.tar", "backbone": "mobilenet_v2", "seed": 0},
    )


def jpeg(seed: int, side: int = 96) -> bytes:
    """A smooth image that depends on the seed."""
    small = generator("jpeg", seed).integers(0, 255, (4, 4, 3)).astype("uint8")
    stream = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def train_record(classes: Sequence[str] = ("daisy", "roses", "tulips"), *, n: int = 60, epochs: int = 8) -> TrainRecord:
    """A validated training that was resumed once and whose best epoch is not the last."""
    curve = [
        {
            "epoch": e + 1.0,
            "loss": 1.1 * 0.8**e,
            "lr": 0.05 * (1 - e / epochs),
            "top1": 0.9 - 0.01 * (e - epochs + 2) ** 2,
        }
        for e in range(epochs)
    ]
    return TrainRecord(
        network="resnet20_cifar",
        test=score_of(classes, draw_confusion(len(classes), n, 0.9)),
        data=DataSummary(
            source="/home/somebody/flowers",
            classes=tuple(classes),
            counts={name: {"train": 160, "validation": 40, "test": n, "unused": 0} for name in classes},
            train=160 * len(classes),
            validation=40 * len(classes),
            test=n * len(classes),
        ),
        recipe={"optimizer": "sgd", "lr": 0.05, "batch": 128, "source": "none"},
        curve=tuple(curve),
        steps=24,
        seconds={"total": 80.0, "training": 71.0},
        seed=0,
        versions={"striate": "0.1.0"},
        plan={"network": "resnet20_cifar", "data": "/home/somebody/flowers", "recipe": "cifar_short", "root": None},
        resumes=(7,),
        best_epoch=epochs - 1,
        validation=0.9,
        cost={"params": 272_474, "macs": 40_551_040, "activation_bytes": 757_804},
    )
