"""What a job is asked to do. Every default of the product stands here and nowhere else."""

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
    """Make a classifier of labelled images by transfer, and gather the evidence.

    Args:
        task: Name of the task, such as ``classify``.
        data: A folder, manifest, archive, or the name of a standard set.
        root: Where the files of a standard set are; None for sets that need none.
        backbone: ``NAME``, ``NAME:WEIGHTS``, the folder of a finished run, or ``hub:OWNER/NAME``; None lets the
            images decide among the available weights.
        budget_s: Bound on the whole run in seconds; None bounds the work instead of the clock.
        per_class: Labelled images used of each class for training and validation together; None uses all.
        seed: Of the split and of every draw.
        device: As `core.device.pick` takes it.
        engine: What runs the cached pass.
        fast_resize: Whether images are reduced by the fast filter instead of the weights' own.
        max_unreadable: Share of images that may be unreadable before the run stops, 0 to 1.
        scratch: Whether a network trained from scratch is among the candidates.
        work_s: What each candidate may spend on training when no budget is given, in seconds estimated by the sizing
            engine for a two-core machine; it fixes the number of steps, so that no result depends on the clock.
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
            raise PlanError(f"a budget is above 0 seconds; got {self.budget_s}", hint="write it as 90s, 10m or 2h")
        if self.per_class is not None and self.per_class < 2:
            raise PlanError(
                f"--per-class {self.per_class} leaves nothing to choose by: one image a class trains, one validates",
                hint="give at least 2",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """Train a network from random weights.

    Args:
        task: Name of the task, such as ``classify``.
        network: Name in the registry.
        data: A folder, manifest, archive, or the name of a standard set.
        root: Where the files of a standard set are.
        recipe: Name of a recipe (``recipes/*.toml``), or a file that ends with ``.toml``.
        epochs: Number of epochs; None takes the recipe's.
        micro_batch: Images that are run at a time, of which batch statistics are taken; None takes the recipe's.
        schedule_fraction: Fraction of the recipe's steps; the schedule is compressed into it.
        seed: Of weights, order and augmentation.
        precision: ``float32``, or ``bf16`` for the arithmetic alone; ``auto`` takes ``bf16`` where the device computes
            in it by itself. A resumed run keeps the one that it began with.
        validate: Whether a validation split is held back and looked at after every epoch; the best epoch's weights are
            then the result. A ``plateau`` schedule does so anyway.
        snapshots: Number of cosine cycles in place of the recipe's schedule, the weights after each kept; None takes
            the recipe's.
        device: As `core.device.pick` takes it.
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
            raise PlanError(f"an ensemble of snapshots takes at least 2; got {self.snapshots}")
        if self.epochs is not None and self.epochs < 1:
            raise PlanError(f"training takes at least 1 epoch; got {self.epochs}")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise PlanError(f"a group holds at least 1 image; got {self.micro_batch}")
        if not 0 < self.schedule_fraction <= 1:
            raise PlanError(f"schedule_fraction must be above 0 and at most 1; got {self.schedule_fraction}")
        if self.precision not in get_args(Precision):
            raise PlanError(f"precision is auto, float32 or bf16; got {self.precision!r}")

    def method(self) -> recipes.Recipe:
        """The recipe as the plan changes it.

        Raises:
            PlanError: There is no such recipe, or its batch does not part into such groups.
        """
        found = recipes.recipe(self.recipe)
        if self.micro_batch is not None:
            if found.batch % self.micro_batch:
                raise PlanError(
                    f"the recipe's batch of {found.batch} images does not part into groups of {self.micro_batch}",
                    hint=f"take a divisor of {found.batch}",
                )
            found = replace(found, micro_batch=self.micro_batch)
        if self.epochs is not None:
            found = replace(found, epochs=self.epochs, steps=None)
        if self.snapshots is not None:
            found = replace(found, schedule=recipes.Schedule(kind="cosine_restarts", cycles=self.snapshots))
        return found.compressed(self.schedule_fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What a training run may use; another choice gives the same numbers.

    Args:
        workers: Processes that prepare images ahead.
        compiled: Whether the network runs through ``torch.compile``, which rounds a little otherwise.
        save_every_s: Seconds of work that a kill may cost.
        trackers: Experiment trackers that log every epoch, of `TRACKERS`.
        max_unreadable: Share of images that may be unreadable before the run stops, 0 to 1.
    """

    workers: int = 0
    compiled: bool = False
    save_every_s: float = 15.0
    trackers: tuple[str, ...] = ()
    max_unreadable: float = 0.05

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise PlanError(f"there are 0 or more workers; got {self.workers}")
        if self.save_every_s < 0:
            raise PlanError(f"seconds between two savings are 0 or more; got {self.save_every_s}")
        for name in self.trackers:
            if name not in TRACKERS:
                raise PlanError(f"no tracker is called {name!r}", hint=f"known: {', '.join(TRACKERS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalPlan:
    """Measure a model on labelled images.

    Args:
        model: A run folder or ``NAME:WEIGHTS``.
        also: Further models of the same classes; all are measured together, and beside that each one alone.
        snapshots: Whether the snapshots of `model`, a run, stand in for it.
        tta: Name of a test-time augmentation (``records/tta.py``); None for none.
        data: A folder, manifest, archive, or the name of a standard set.
        root: Where the files of a standard set are.
        split: Which part of the data; None takes ``test`` where the data names one, else everything.
        device: As `core.device.pick` takes it.
        engine: What runs the network.
        batch: Images at a time.
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
    """Name what is on images.

    Args:
        model: A run folder or ``NAME:WEIGHTS``.
        also: Further models of the same classes; the mean of all probabilities counts.
        snapshots: Whether the snapshots of `model`, a run, stand in for it.
        tta: Name of a test-time augmentation (``records/tta.py``); None for none.
        images: Files.
        top: Predictions an image.
        device: As `core.device.pick` takes it.
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
            raise PlanError(f"--top is at least 1; got {self.top}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPlan:
    """Draw images as a recipe augments them.

    Args:
        recipe: As `TrainPlan` takes it.
        network: Whose input size they have; None takes that of the images, up to `side`.
        side: In pixels.
        passes: Augmented copies of each image.
        classes: How many are shown at most, evenly spread.
        rows: Images in all, where that leaves one a class.
        seed: Of the choice and of the augmentation.
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
        batch: Images at a time.
        seconds: For about how long each of the two steps is repeated.
    """

    names: tuple[str, ...] = ()
    device: str | None = None
    batch: int = 8
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise PlanError(f"a batch holds at least 1 image; got {self.batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPlan:
    """Make a network available to others.

    Args:
        run: Folder of a finished run.
        licence: Under which the weights may be used, such as ``apache-2.0``.
        to: ``hub:OWNER/NAME``, or a new folder; None takes ``published/<name of the run>``.
        data_licence: Under which the images may be used; None says that it is not stated.
        data_name: What the images are called; None takes the name of their folder or standard set.
        private: Whether a new repository is for its owner alone; None leaves that to the owner's settings on the hub.
    """

    run: str
    licence: str | None = None
    to: str | None = None
    data_licence: str | None = None
    data_name: str | None = None
    private: bool | None = None

    def __post_init__(self) -> None:
        if not (self.licence or "").strip():
            raise PlanError(
                "nobody may use weights without a licence",
                hint="say --licence apache-2.0, or another that the images and the starting weights allow",
            )
        if self.private is not None and not (self.to or "").startswith("hub:"):
            raise PlanError("only a repository on the hub can be private", hint="say --to hub:OWNER/NAME")


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
            raise PlanError(f"a batch has at least 1 image; got {self.batch}")
