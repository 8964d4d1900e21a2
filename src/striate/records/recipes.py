"""Training recipes, which are read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from striate.core.errors import PlanError
from striate.core.reading import reading
from striate.core.registry import nearest
from striate.records import io

_ENDING = ".toml"
MAX_EPOCHS, MAX_STEPS = 1_000_000, 1_000_000_000
"""More than anybody trains; the work of a run is planned step by step before it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """How training images are augmented; every value is drawn again for each image and epoch.

    Args:
        flip: Whether each image is flipped left to right with probability 0.5. ``alternate`` draws once which half of
            the images is flipped, and flips the other half in every second epoch, so that two epochs show each image
            both ways.
        translate: Largest translation, as a fraction of each side.
        pad: Padding, as a fraction of each side, before a random crop of the original size; 0.125 in papers on CIFAR.
        scale: Smallest and largest scale factor; below 1 the image shrinks and `padding_mode` fills the margin.
        rotate: Largest rotation, in degrees.
        aspect_ratio: Largest change of width over height, as a factor (1.2 allows 1/1.2 to 1.2).
        shear: Largest shear, in degrees.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        hue: Largest rotation of the hues, in degrees.
        pca_lighting: Standard deviation of the noise along ImageNet's principal colour components (AlexNet: 0.1).
        crop_scale: Smallest and largest area of a random resized crop, as fractions of the image; None disables it.
        crop_ratio: Largest aspect ratio of the crop relative to the image's, and of its inverse; at least 1.
        rand_augment: Number and magnitude, from 0 to 10, of the random operations of RandAugment; None disables it.
        random_erasing: Probability that a rectangle is erased.
        mixup: Parameter of the Beta distribution of mixup; 0 disables it.
        cutmix: Parameter of the Beta distribution of CutMix; 0 disables it. With both, each batch draws one of them.
        padding_mode: Values outside the image: black (``zeros``), ImageNet's mean colour, 0 after normalisation
            (``mean``), the nearest pixel of the image (``border``), or the mirrored image (``reflection``).
    """

    flip: bool | Literal["alternate"] = False
    translate: float = 0.0
    pad: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    rotate: float = 0.0
    aspect_ratio: float = 1.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    pca_lighting: float = 0.0
    crop_scale: tuple[float, float] | None = None
    crop_ratio: float = 4 / 3
    rand_augment: tuple[int, float] | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    padding_mode: Literal["zeros", "mean", "border", "reflection"] = "border"

    def __post_init__(self) -> None:
        if self.flip not in (False, True, "alternate"):
            raise ValueError(f"flip must be true, false or alternate; got {self.flip!r}")
        if not 0 < self.scale[0] <= self.scale[1] or self.aspect_ratio < 1 or min(self.translate, self.pad) < 0:
            raise ValueError(
                f"scale must be two factors above 0, aspect_ratio at least 1, translate and pad at least 0; got {self}"
            )
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(
                f"crop_scale must be a smallest and a largest fraction of the area, at most 1; got {self.crop_scale}"
            )
        if (
            self.crop_ratio < 1
            or not 0 <= self.random_erasing <= 1
            or min(self.mixup, self.cutmix, self.pca_lighting, self.hue) < 0
        ):
            raise ValueError(
                f"crop_ratio must be at least 1, random_erasing a probability, other values at least 0; got {self}"
            )
        if self.rand_augment is not None and (self.rand_augment[0] < 1 or not 0 <= self.rand_augment[1] <= 10):
            raise ValueError(
                f"rand_augment must be a number of operations and a magnitude from 0 to 10; got {self.rand_augment}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The learning-rate schedule.

    Args:
        kind: After the warm-up: ``cosine`` (half a cosine to 0), ``linear`` (linearly down to `end_factor`), ``step``
            (times `gamma` at each of `milestones`, or every `step_size`), ``plateau`` (times `gamma` when validation
            accuracy has not improved for `patience` epochs), ``cosine_restarts`` (several half cosines; the weights at
            the end of each are kept) or ``constant``.
        warmup: Fraction of all steps over which the learning rate rises from 0 to its peak.
        milestones: When the learning rate is reduced, as fractions of all steps.
        step_size: Fraction of all steps between two reductions, instead of `milestones`.
        gamma: Factor of each reduction.
        gammas: One factor for each of `milestones`, if they differ; empty takes `gamma`.
        patience: Epochs without a new best accuracy before a reduction.
        end_factor: Final learning rate of kind ``linear``, as a fraction of the peak.
        cycles: Number of half cosines of kind ``cosine_restarts``.
    """

    kind: Literal["cosine", "linear", "step", "plateau", "cosine_restarts", "constant"] = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    step_size: float | None = None
    gamma: float = 0.1
    gammas: tuple[float, ...] = ()
    patience: int = 10
    end_factor: float = 0.0
    cycles: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}; got {self.kind!r}")
        if not 0 <= self.warmup < 1 or not all(0 < milestone < 1 for milestone in self.milestones):
            raise ValueError(f"warmup and milestones must be fractions of all steps, below 1; got {self}")
        if (self.kind == "step") != (bool(self.milestones) != (self.step_size is not None)):
            raise ValueError("kind 'step' takes either milestones or step_size, and no other kind takes them")
        if self.step_size is not None and not 0 < self.step_size < 1:
            raise ValueError(f"step_size must be a fraction of all steps, above 0 and below 1; got {self.step_size}")
        if self.cycles < 1 or (self.cycles > 1 and self.kind != "cosine_restarts"):
            raise ValueError(f"cycles must be at least 1, and above 1 only for kind 'cosine_restarts'; got {self}")
        if self.gammas and len(self.gammas) != len(self.milestones):
            raise ValueError(
                f"gammas must have one factor for each of {len(self.milestones)} milestones; got {len(self.gammas)}"
            )


_KINDS = ("cosine", "linear", "step", "plateau", "cosine_restarts", "constant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        optimizer: ``sgd`` (with momentum), ``rmsprop`` or ``adamw``.
        lr: Peak learning rate.
        momentum: Of SGD and RMSprop.
        nesterov: Whether SGD uses Nesterov momentum.
        norm_bias_lr_scale: Factor of the learning rate for the biases of normalisation layers.
        weight_decay: Weight decay of the weights of convolutions and linear layers.
        decay_norm_and_bias: Whether weight decay also applies to biases and normalisation layers, as before 2017.
        batch: Images per step.
        micro_batch: Images per forward pass; batch-norm statistics are those of a micro-batch. It must divide `batch`;
            None takes the whole batch.
        epochs: Number of epochs.
        steps: Number of steps, if the paper states steps; None takes `epochs`.
        schedule: The learning-rate schedule.
        label_smoothing: Fraction of the target that is spread evenly over all classes.
        aux_weight: Weight of the loss of each auxiliary head.
        clip_grad_norm: Largest norm of the gradient; None disables clipping.
        ema_decay: Decay of the EMA of the weights at each step; None disables it.
        balance: ``oversample`` draws every class equally often; ``weights`` gives rare classes a higher weight in the
            loss.
        whiten: Whether the first convolution is initialised to whiten the patches of the training images and is then
            frozen except for its bias.
        augment: How images are augmented.
        source: Where the recipe comes from.
    """

    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    norm_bias_lr_scale: float = 1.0
    weight_decay: float = 5e-4
    decay_norm_and_bias: bool = False
    batch: int = 128
    micro_batch: int | None = None
    epochs: int = 20
    steps: int | None = None
    schedule: Schedule = field(default_factory=Schedule)
    label_smoothing: float = 0.0
    aux_weight: float = 0.0
    clip_grad_norm: float | None = None
    ema_decay: float | None = None
    balance: Literal["none", "oversample", "weights"] = "none"
    whiten: bool = False
    augment: Augment = field(default_factory=Augment)
    source: str = ""

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "rmsprop", "adamw"):
            raise ValueError(f"optimizer must be sgd, rmsprop or adamw; got {self.optimizer!r}")
        if self.balance not in ("none", "oversample", "weights"):
            raise ValueError(f"balance must be none, oversample or weights; got {self.balance!r}")
        if (
            min(self.lr, self.norm_bias_lr_scale) <= 0
            or min(self.batch, self.epochs, 1 if self.steps is None else self.steps) < 1
        ):
            raise ValueError(f"lr, batch, epochs and steps must be above 0; got {self}")
        if max(self.epochs, self.batch) > MAX_EPOCHS or (self.steps or 0) > MAX_STEPS:
            raise ValueError(
                f"epochs and batch must be at most {MAX_EPOCHS:,}, steps at most {MAX_STEPS:,}; got epochs "
                f"{self.epochs:,}, batch {self.batch:,}, steps {self.steps}"
            )
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise ValueError(f"micro_batch must divide the batch of {self.batch}; got {self.micro_batch}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must be above 0 and below 1; got {self.ema_decay}")

    def compressed(self, fraction: float) -> Recipe:
        """The same recipe in a fraction of its steps, with the whole schedule compressed into them.

        Args:
            fraction: Above 0, at most 1.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"schedule_fraction must be above 0 and at most 1; got {fraction}")
        if self.steps is not None:
            return replace(self, steps=max(1, round(self.steps * fraction)))
        return replace(self, epochs=max(1, round(self.epochs * fraction)))


@cache
def recipe_names() -> tuple[str, ...]:
    """The recipes that the package ships."""
    folder = resources.files("striate.recipes")
    return tuple(sorted(f.name.removesuffix(_ENDING) for f in folder.iterdir() if f.name.endswith(_ENDING)))


def recipe(name: str) -> Recipe:
    """The recipe called `name`; a name that ends with ``.toml`` is the path of a file.

    Raises:
        PlanError: The recipe does not exist, or the file is not a valid recipe.
    """
    return _of_file(Path(name).expanduser()) if name.endswith(_ENDING) else _shipped(name)


def title(name: str) -> str:
    """The name of a recipe for people: its name, or that of its file.

    Example:
        >>> title("recipes/mine.toml")
        'mine'
    """
    return Path(name).name.removesuffix(_ENDING)


@cache
def _shipped(name: str) -> Recipe:
    if name not in recipe_names():
        close = nearest(name, list(recipe_names()))
        known = f"known: {', '.join(recipe_names())}; the name of a file ends with {_ENDING}"
        hint = f"did you mean {', '.join(close)}?" if close else known
        raise PlanError(f"there is no recipe {name!r}", hint=hint)
    text = (resources.files("striate.recipes") / (name + _ENDING)).read_text(encoding="utf-8")
    return io.from_json(Recipe, tomllib.loads(text))


def _of_file(path: Path) -> Recipe:
    with reading(path, PlanError, "a recipe"):
        try:
            return io.from_json(Recipe, tomllib.loads(path.read_text(encoding="utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"the recipe {path} is not valid TOML: {error}") from error
        except (TypeError, ValueError) as error:
            raise PlanError(f"the recipe {path} is not valid: {error}") from error
