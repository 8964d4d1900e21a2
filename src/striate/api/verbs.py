"""The commands of ``striate`` as functions: the command's name, and the fields of its plan as keywords."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from striate.api.runs import Run, reference
from striate.core.arguments import checked_arguments
from striate.core.durations import parse_duration
from striate.core.errors import PlanError
from striate.core.events import NoProgress, ProgressCallback
from striate.data.transforms import ImageLike, ImageTransform
from striate.jobs import check as check_job
from striate.jobs import evaluate as evaluate_job
from striate.jobs import features as features_job
from striate.jobs import fit as fit_job
from striate.jobs import predict as predict_job
from striate.jobs import train as train_job
from striate.jobs.classifier import TrainedClassifier
from striate.jobs.features import Features
from striate.models import ImageModel
from striate.records.plans import (
    CheckPlan,
    EngineName,
    EvalPlan,
    FeaturesPlan,
    FitPlan,
    Precision,
    PredictPlan,
    RuntimeOptions,
    TrainPlan,
)
from striate.records.results import EvalRecord, FitRecord, TrainRecord
from striate.records.verbs import CheckRecord, PredictRecord

Model = str | Path | Run[Any] | TrainedClassifier
"""``NAME:WEIGHTS``, a run's folder, a `Run`, or a loaded classifier."""


@checked_arguments
def fit(
    data: str | Path = "digits",
    *,
    backbone: str | Path | Run[Any] | None = None,
    budget: str | float | None = None,
    per_class: int | None = None,
    scratch: bool = True,
    seed: int = 0,
    out: str | Path | None = None,
    root: str | Path | None = None,
    device: str | None = None,
    engine: EngineName = "auto",
    fast_resize: bool = False,
    max_unreadable: float = 0.05,
    work_s: float = 45.0,
    progress: ProgressCallback | None = None,
) -> Run[FitRecord]:
    """Train a classifier on labelled images by transfer learning, and evaluate it.

    Args:
        data: A folder with one folder per class, a manifest, an archive, or the name of a standard set.
        backbone: The pretrained network: ``NAME``, ``NAME:WEIGHTS``, the folder of a finished run, or
            ``hub:OWNER/NAME``. None chooses one that suits the images and the budget.
        budget: Limit on the whole run: seconds, or ``90s``, ``10m``, ``2h``. None limits the work, so that the result
            does not depend on the clock.
        per_class: Labelled images used per class for training and validation together; None uses all.
        scratch: Whether a network trained from random weights is among the candidates.
        seed: Random seed.
        out: The run's folder; None takes the next free ``runs/<data>-<n>``. An unfinished run is resumed, a finished
            one is returned.
        root: Folder with the files of a standard set; None for sets that need none.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; None takes the default of `striate fit`.
        engine: The inference engine that extracts features.
        fast_resize: Whether images are resized with a faster, less exact filter.
        max_unreadable: Fraction of images that may be unreadable before the run stops, 0 to 1.
        work_s: Work that each candidate may spend on training without a budget, in estimated seconds on two cores.
        progress: Receives progress; None reports none.

    Returns:
        The finished run: ``run.record.test.top1``, ``run.report``, ``run.classifier``, ``run.predict("new.jpg")``.

    Raises:
        DataError: The images cannot be used as they are.
        PlanError: The arguments contradict each other, or `out` holds the run of another plan.
    """
    plan = FitPlan(
        data=str(data),
        root=_text(root),
        backbone=None if backbone is None else reference(backbone),
        budget_s=parse_duration(budget) if isinstance(budget, str) else budget,
        per_class=per_class,
        seed=seed,
        device=device,
        engine=engine,
        fast_resize=fast_resize,
        max_unreadable=max_unreadable,
        scratch=scratch,
        work_s=work_s,
    )
    outcome = fit_job.run(plan, out=_path(out), progress=progress or NoProgress())
    return Run(outcome.folder, outcome.record)


@checked_arguments
def train(
    network: str,
    data: str | Path,
    *,
    recipe: str | Path = "cifar_short",
    epochs: int | None = None,
    micro_batch: int | None = None,
    schedule_fraction: float = 1.0,
    precision: Precision = "auto",
    validate: bool = False,
    snapshots: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    root: str | Path | None = None,
    device: str | None = None,
    resume: bool = False,
    workers: int = 0,
    compiled: bool = False,
    save_every_s: float = 15.0,
    trackers: Sequence[str] = (),
    max_unreadable: float = 0.05,
    progress: ProgressCallback | None = None,
) -> Run[TrainRecord]:
    """Train a network from random weights.

    Args:
        network: A name from `striate.list_models`, or of a network of your own (`striate.register_model`).
        data: As `fit` takes it.
        recipe: Name of a recipe, or the path of a ``.toml`` file.
        epochs: Epochs; None takes the recipe's.
        micro_batch: Images per forward pass, over which batch statistics are taken; None takes the recipe's.
        schedule_fraction: Fraction of the recipe's steps; the learning rate falls at the same fractions of them.
        precision: ``float32``, or ``bf16`` for mixed precision; ``auto`` takes ``bf16`` where the device supports it.
        validate: Whether a validation split is held back, and the weights of the epoch that is best on it are kept.
        snapshots: Number of cosine restarts, in place of the recipe's schedule; the weights at the end of each are
            kept.
        seed: Random seed.
        out: The run's folder; None takes the next free ``runs/<network>-<data>-<n>``. An unfinished run is resumed.
        root: Folder with the files of a standard set; None for sets that need none.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; None takes the default of `striate train`.
        resume: Whether `out` must hold a run to resume.
        workers: Processes that prepare batches; the numbers are the same.
        compiled: Whether the network runs through ``torch.compile``.
        save_every_s: Seconds between two checkpoints.
        trackers: Experiment trackers: ``tensorboard``, ``wandb``, ``mlflow``.
        max_unreadable: Fraction of images that may be unreadable before the run stops, 0 to 1.
        progress: Receives progress; None reports none.

    Returns:
        The finished run.

    Raises:
        DataError: The images cannot be used as they are.
        PlanError: The arguments contradict each other, or `out` holds the run of another plan.
        UnknownModelError: There is no such network.
    """
    plan = TrainPlan(
        network=network,
        data=str(data),
        root=_text(root),
        recipe=str(recipe),
        epochs=epochs,
        micro_batch=micro_batch,
        schedule_fraction=schedule_fraction,
        seed=seed,
        precision=precision,
        validate=validate,
        snapshots=snapshots,
        device=device,
    )
    runtime = RuntimeOptions(
        workers=workers,
        compiled=compiled,
        save_every_s=save_every_s,
        trackers=tuple(trackers),
        max_unreadable=max_unreadable,
    )
    outcome = train_job.run(plan, out=_path(out), progress=progress or NoProgress(), runtime=runtime, resume=resume)
    return Run(outcome.folder, outcome.record)


@checked_arguments
def evaluate(
    model: Model,
    data: str | Path,
    *,
    also: Sequence[Model] = (),
    snapshots: bool = False,
    tta: str | None = None,
    split: str | None = None,
    root: str | Path | None = None,
    device: str | None = None,
    engine: EngineName = "auto",
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> EvalRecord:
    """Evaluate a model on labelled images.

    Args:
        model: ``NAME:WEIGHTS``, a run's folder, a `Run`, or a loaded classifier.
        data: As `fit` takes it.
        also: Further models of the same classes, evaluated alone and as an ensemble.
        snapshots: Whether the snapshots of `model`, a run, stand in for it.
        tta: Name of a test-time augmentation; None for none.
        split: ``train``, ``validation`` or ``test``; None takes test if the data has that split, else all images.
        root: Folder with the files of a standard set; None for sets that need none.
        device: As `fit` takes it; None is the CPU.
        engine: The inference engine.
        batch: Batch size.
        progress: Receives progress; None reports none.

    Returns:
        Accuracy with intervals, accuracy per class, calibration, and the confusion matrix.

    Raises:
        DataError: A label of the data is none of the model's, or there is no such split.
    """
    plan = EvalPlan(
        model=reference(model),
        also=tuple(reference(each) for each in also),
        snapshots=snapshots,
        tta=tta,
        data=str(data),
        root=_text(root),
        split=split,
        device=device,
        engine=engine,
        batch=batch,
    )
    return evaluate_job.run(plan, progress=progress or NoProgress())


@checked_arguments
def predict(
    model: Model,
    images: str | Path | Sequence[str | Path],
    *,
    also: Sequence[Model] = (),
    snapshots: bool = False,
    tta: str | None = None,
    top: int = 5,
    device: str | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[PredictRecord, ...]:
    """Classify image files; a file that cannot be read becomes a record with an error.

    `striate.load(model).predict(images)` takes images in any form and raises instead.

    Args:
        model: ``NAME:WEIGHTS``, a run's folder, a `Run`, or a loaded classifier.
        images: The path of an image, of a folder or an archive of images, or a pattern such as ``new/*.jpg``; or
            several of them.
        also: Further models of the same classes; their probabilities are averaged.
        snapshots: Whether the snapshots of `model`, a run, stand in for it.
        tta: Name of a test-time augmentation; None for none.
        top: Classes per image, at least 1.
        device: As `fit` takes it; None is the CPU.
        progress: Receives progress; None reports none.

    Returns:
        A record per image: `file`, `predictions` (each ``label`` and ``probability``), and `error` or None.

    Raises:
        CheckpointError: A model cannot be used.
    """
    files = [images] if isinstance(images, str | Path) else images
    plan = PredictPlan(
        model=reference(model),
        also=tuple(reference(each) for each in also),
        snapshots=snapshots,
        tta=tta,
        images=tuple(str(each) for each in files),
        top=top,
        device=device,
    )
    return predict_job.run(plan, progress=progress or NoProgress())


@checked_arguments
def check(data: str | Path, *, root: str | Path | None = None, progress: ProgressCallback | None = None) -> CheckRecord:
    """Check labelled images before training: classes, unreadable files, exact duplicates, contradicting labels.

    Args:
        data: As `fit` takes it.
        root: Folder with the files of a standard set; None for sets that need none.
        progress: Receives progress; None reports none.

    Returns:
        `classes` (name to number of images), `images` and `issues`.

    Raises:
        DataError: The data cannot be used at all.
    """
    return check_job.run(CheckPlan(data=str(data), root=_text(root)), progress=progress)


@checked_arguments
def features(
    model: Model | ImageModel,
    data: str | Path | Sequence[ImageLike],
    *,
    stage: str | None = None,
    split: str | None = None,
    transforms: ImageTransform | None = None,
    root: str | Path | None = None,
    device: str | None = None,
    engine: EngineName = "auto",
    batch: int = 32,
    progress: ProgressCallback | None = None,
) -> Features:
    """Extract the pooled features of one stage.

    Args:
        model: ``NAME:WEIGHTS``, a run's folder, a `Run`, a loaded classifier, or a network with its `transforms`.
        data: As `fit` takes it, a folder of images without class folders, or a list of images: paths, bytes, uint8
            arrays or PIL images.
        stage: A stage of the network, or ``head.PART`` for a hidden layer of its head; None takes the last.
        split: ``train``, ``validation`` or ``test``; None takes all images.
        transforms: The preprocessing of a network that is given as an object; for other models it is known.
        root: Folder with the files of a standard set; None for sets that need none.
        device: As `fit` takes it; None is the CPU.
        engine: The inference engine.
        batch: Batch size.
        progress: Receives progress; None reports none.

    Returns:
        ``values`` (float32 ``[n, channels]``), ``files``, ``labels`` and ``classes``; ``save("features.npz")``.

    Raises:
        DataError: There is no such data, or none of its images can be read.
        UnknownModelError: There is no such network, or it has no such stage.
    """
    report = progress or NoProgress()
    if not isinstance(model, ImageModel | TrainedClassifier) and isinstance(data, str | Path):
        plan = FeaturesPlan(
            model=reference(model),
            data=str(data),
            root=_text(root),
            stage=stage,
            split=split,
            device=device,
            engine=engine,
            batch=batch,
        )
        return features_job.extract(plan, progress=report)
    network, preprocess = _network(model, transforms)
    return features_job.of_data(
        network,
        preprocess,
        data,
        root=_text(root),
        stage=stage,
        split=split,
        device=device,
        engine=engine,
        batch=batch,
        progress=report,
    )


def _network(model: Model | ImageModel, transforms: ImageTransform | None) -> tuple[ImageModel, Any]:
    if isinstance(model, ImageModel):
        if transforms is None:
            raise PlanError(
                "a network alone does not say how images are preprocessed",
                hint='pass transforms=striate.weights.get("resnet50:default").transforms(), or name the model',
            )
        return model, transforms.preprocess
    if isinstance(model, TrainedClassifier):
        return model.network.model, model.preprocess
    from striate.weights import open_model
    from striate.weights.create import warn_of_others

    opened = open_model(reference(model))
    warn_of_others(opened)
    return opened.model, opened.preprocess


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
