"""Plans: what a job is asked to do. All defaults of the product are defined here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from striate.core.errors import PlanError
from striate.records import recipes
from striate.records.tta import tta_policy

TRACKERS = ("tensorboard", "wandb", "mlflow")

EngineName = Literal["auto", "openvino", "openvino-bf16", "torch"]
Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """Fit a model to labelled images by transfer learning, and evaluate it.

    Args:
        task: Name of the task, such as ``classify``.
        data: A folder, manifest, archive, or the name of a standard dataset.
        root: Folder with the files of a standard dataset; None if it needs none.
        backbone: ``NAME``, ``NAME:WEIGHTS``, the folder of a finished run, or ``hub:OWNER/NAME``; None chooses by the
            images and the budget, among the weights that are available locally or can be downloaded.
        budget_s: Time limit for the whole run in seconds; None limits the work (`work_s`) instead of the time.
        per_class: Number of labelled images of each class for training and validation together; None uses all.
        seed: Random seed.
        device: As in `core.device.pick`.
        engine: The inference engine that extracts features.
        fast_resize: Whether large images are resized with the fast filter instead of the one of the weights.
        max_unreadable: Fraction of the images that may be unreadable before the run stops, from 0 to 1.
        scratch: Whether training from scratch is among the candidates.
        work_s: Work that each candidate may spend on training if there is no time limit, in seconds that the sizing
            engine estimates for a two-core machine. It fixes the number of steps, so that no result depends on the
            clock.
    """

    task: str = "classify"
    data: str = "digits"
    root: str | None = None
    backbone: str | None = None
    budget_s: float | None = None
    per_class: int | None = None
    seed: int = 0
    device: str | None = None
    engine: EngineName = "auto"
    fast_resize: bool = False
    max_unreadable: float = 0.05
    scratch: bool = True
    work_s: float = 45.0

    @property
    def work(self) -> float:
        """Estimated seconds that each candidate may spend on training: `work_s` for every three minutes of budget."""
        return self.work_s * (1.0 if self.budget_s is None else self.budget_s / 180.0)

    def __post_init__(self) -> None:
        if self.budget_s is not None and self.budget_s <= 0:
            raise PlanError(
                f"the budget must be above 0 seconds; got {self.budget_s}", hint="write it as 90s, 10m or 2h"
            )
        if self.per_class is not None and self.per_class < 2:
            raise PlanError(
                f"--per-class must be at least 2 (one image to train on, one to validate); got {self.per_class}",
                hint="use --per-class 2 or more",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """Train a network from random weights.

    Args:
        task: Name of the task, such as ``classify``.
        network: Name in the registry.
        data: A folder, manifest, archive, or the name of a standard dataset.
        root: Folder with the files of a standard dataset; None if it needs none.
        recipe: Name of a recipe (``recipes/*.toml``), or a file that ends with ``.toml``.
        epochs: Number of epochs; None takes the recipe's.
        micro_batch: Images per forward pass; batch-norm statistics are those of a micro-batch. None takes the recipe's.
        schedule_fraction: Fraction of the recipe's steps, above 0 and at most 1; the schedule is compressed into it.
        seed: Random seed of the weights, the order of the images and the augmentation.
        precision: ``float32``, or ``bf16`` for the arithmetic alone; ``auto`` takes ``bf16`` if the device computes in
            it natively. A resumed run keeps the precision that it began with.
        validate: Whether to hold out a validation split and evaluate it after every epoch; the weights of the best
            epoch are then the result. A ``plateau`` schedule always does so.
        snapshots: Number of cosine cycles instead of the recipe's schedule; the weights after each cycle are kept. None
            takes the recipe's schedule.
        device: As in `core.device.pick`.
    """

    task: str = "classify"
    network: str
    data: str
    root: str | None = None
    recipe: str = "cifar_short"
    epochs: int | None = None
    micro_batch: int | None = None
    schedule_fraction: float = 1.0
    seed: int = 0
    precision: Precision = "auto"
    validate: bool = False
    snapshots: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.snapshots is not None and self.snapshots < 2:
            raise PlanError(f"snapshots must be at least 2; got {self.snapshots}")
        if self.epochs is not None and not 1 <= self.epochs <= recipes.MAX_EPOCHS:
            raise PlanError(f"epochs must be from 1 to {recipes.MAX_EPOCHS:,}; got {self.epochs}")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise PlanError(f"micro_batch must be at least 1; got {self.micro_batch}")
        if not 0 < self.schedule_fraction <= 1:
            raise PlanError(f"schedule_fraction must be above 0 and at most 1; got {self.schedule_fraction}")
        if self.precision not in get_args(Precision):
            raise PlanError(f"precision must be auto, float32 or bf16; got {self.precision!r}")

    def method(self) -> recipes.Recipe:
        """The recipe with the changes of the plan.

        Raises:
            PlanError: The recipe does not exist, or `micro_batch` does not divide its batch.
        """
        found = recipes.recipe(self.recipe)
        if self.micro_batch is not None:
            if found.batch % self.micro_batch:
                raise PlanError(
                    f"micro_batch must divide the recipe's batch of {found.batch} images; got {self.micro_batch}",
                    hint=f"use a divisor of {found.batch}",
                )
            found = replace(found, micro_batch=self.micro_batch)
        if self.epochs is not None:
            found = replace(found, epochs=self.epochs, steps=None)
        if self.snapshots is not None:
            found = replace(found, schedule=recipes.Schedule(kind="cosine_restarts", cycles=self.snapshots))
        return found.compressed(self.schedule_fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How a training run uses the machine; the results do not depend on it.

    Args:
        workers: Number of processes that prepare images.
        compiled: Whether the network runs through ``torch.compile``, which rounds slightly differently.
        save_every_s: Seconds between two saved training states, at least 0.
        trackers: Experiment trackers that log every epoch, from `TRACKERS`.
        max_unreadable: Fraction of the images that may be unreadable before the run stops, from 0 to 1.
    """

    workers: int = 0
    compiled: bool = False
    save_every_s: float = 15.0
    trackers: tuple[str, ...] = ()
    max_unreadable: float = 0.05

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise PlanError(f"workers must be at least 0; got {self.workers}")
        if self.save_every_s < 0:
            raise PlanError(f"save_every_s must be at least 0; got {self.save_every_s}")
        for name in self.trackers:
            if name not in TRACKERS:
                raise PlanError(f"there is no tracker {name!r}", hint=f"known: {', '.join(TRACKERS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalPlan:
    """Evaluate a model on labelled images.

    Args:
        model: A run folder or ``NAME:WEIGHTS``.
        also: Further models of the same classes; they are evaluated as an ensemble, and each one alone.
        snapshots: Whether to evaluate the snapshots of the run `model` instead of its final weights.
        tta: Name of a test-time augmentation (``records/tta.py``); None for none.
        data: A folder, manifest, archive, or the name of a standard dataset.
        root: Folder with the files of a standard dataset; None if it needs none.
        split: Split of the data; None takes ``test`` if the data has one, otherwise all images.
        device: As in `core.device.pick`.
        engine: The inference engine.
        batch: Batch size.
    """

    model: str
    also: tuple[str, ...] = ()
    snapshots: bool = False
    tta: str | None = None
    data: str
    root: str | None = None
    split: str | None = None
    device: str | None = None
    engine: EngineName = "auto"
    batch: int = 32

    def __post_init__(self) -> None:
        tta_policy(self.tta)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictPlan:
    """Predict the classes of images.

    Args:
        model: A run folder or ``NAME:WEIGHTS``.
        also: Further models of the same classes; the probabilities of all models are averaged.
        snapshots: Whether to use the snapshots of the run `model` instead of its final weights.
        tta: Name of a test-time augmentation (``records/tta.py``); None for none.
        images: Image files, folders and archives of images, and patterns such as ``new/*.jpg``.
        top: Number of predictions per image, at least 1.
        device: As in `core.device.pick`.
    """

    model: str
    also: tuple[str, ...] = ()
    snapshots: bool = False
    tta: str | None = None
    images: tuple[str, ...]
    top: int = 5
    device: str | None = None

    def __post_init__(self) -> None:
        tta_policy(self.tta)
        if self.top < 1:
            raise PlanError(f"--top must be at least 1; got {self.top}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPlan:
    """Draw images as a recipe augments them.

    Args:
        recipe: As in `TrainPlan`.
        network: Name of the network whose input size the images get; None takes the size of the images, up to `side`.
        side: Maximum side in pixels.
        passes: Number of augmented copies of each image.
        classes: Maximum number of classes, evenly spaced among all.
        rows: Number of images in all, but at least one per class.
        seed: Random seed of the choice of images and of the augmentation.
        out: File of the sheet; None takes ``<data>-<recipe>.png``.
    """

    recipe: str
    network: str | None = None
    side: int = 224
    passes: int = 7
    classes: int = 10
    rows: int = 10
    seed: int = 0
    out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlan:
    """Check a dataset before training.

    Args:
        task: Name of the task that the dataset is for.
        data: A folder, manifest, archive, or the name of a standard set.
        root: Folder with the files of a standard set; None for sets that need none.
        preview: Which augmented images are drawn too; None draws none.
    """

    task: str = "classify"
    data: str
    root: str | None = None
    preview: PreviewPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsPlan:
    """List the networks.

    Args:
        family: Only networks of this family; None lists all.
        weights: Whether each network's weights are listed with everything that the catalogue says about them; else by
            their tags alone.
    """

    family: str | None = None
    weights: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPlan:
    """Measure a network without running it on data.

    Args:
        name: A network or an alias, the folder of a trained network, or ``hub:OWNER/NAME``.
        input: Channels, height and width of the image, in pixels; None takes the network's own.
        classes: Length of the output; None takes the published one, or that of the trained network.
        memory: An amount such as ``8GB``; the record then says which batch and image fit into it. None asks nothing.
    """

    name: str
    input: tuple[int, int, int] | None = None
    classes: int | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """Time networks on this machine, each at its own input size.

    Args:
        names: Networks, or aliases; empty takes the lightest classifier of every family.
        device: As `core.device.pick` takes it; None takes the fastest available one.
        batch: Batch size.
        seconds: Approximate time for which each of the two steps is repeated, in seconds.
    """

    names: tuple[str, ...] = ()
    device: str | None = None
    batch: int = 8
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise PlanError(f"batch must be at least 1; got {self.batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPlan:
    """Publish a network.

    Args:
        run: Folder of a finished run.
        licence: Licence of the weights, such as ``apache-2.0``.
        to: ``hub:OWNER/NAME``, or a new folder; None takes ``published/<name of the run>``.
        data_licence: Licence of the images; None if it is not stated.
        data_name: Name of the dataset; None takes the name of its folder or standard dataset.
        private: Whether a new repository is private; None takes the default of the owner's account on the hub.
        names: Whose tensor names the weights get: ``striate``, ``timm`` (with its ``config.json``) or ``torchvision``.
    """

    run: str
    licence: str | None = None
    to: str | None = None
    data_licence: str | None = None
    data_name: str | None = None
    private: bool | None = None
    names: Literal["striate", "timm", "torchvision"] = "striate"

    def __post_init__(self) -> None:
        if self.names not in ("striate", "timm", "torchvision"):
            raise PlanError(f"names must be striate, timm or torchvision; got {self.names!r}")
        if not (self.licence or "").strip():
            raise PlanError(
                "the weights need a licence; without one, nobody may use them",
                hint="use --licence apache-2.0, or another licence that the images and the initial weights allow",
            )
        if self.private is not None and not (self.to or "").startswith("hub:"):
            raise PlanError("only a repository on the hub can be private", hint="use --to hub:OWNER/NAME")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesPlan:
    """Extract the pooled features of one stage.

    Args:
        model: A run folder, ``NAME:WEIGHTS``, or ``hub:OWNER/NAME``.
        data: A folder with or without class folders, a manifest, an archive, or the name of a standard set.
        root: Folder with the files of a standard set.
        stage: One of the network's stages, or ``head.PART`` for a hidden layer of its head; None takes the last.
        split: ``train``, ``validation`` or ``test``; None takes all images.
        device: As `core.device.pick` takes it.
        engine: The inference engine.
        batch: Batch size.
    """

    model: str
    data: str
    root: str | None = None
    stage: str | None = None
    split: str | None = None
    device: str | None = None
    engine: EngineName = "auto"
    batch: int = 32

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise PlanError(f"batch must be at least 1; got {self.batch}")
