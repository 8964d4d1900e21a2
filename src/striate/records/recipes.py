"""How a network is trained: recipes, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from striate.core.errors import PlanError
from striate.core.registry import nearest
from striate.records import io

_ENDING = ".toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """How training images are augmented; every value is drawn again for each image and epoch.

    Args:
        flip: Whether half of the images are mirrored left to right. ``alternate`` draws which half only once, and
            mirrors the other half in every second epoch, so that two epochs show each image both ways.
        translate: Largest translation along each side, as a fraction of it.
        pad: Padding, as a fraction of each side, from which a window of the image's own size is cut out, by
            whole pixels; papers on CIFAR do that, with 0.125.
        scale: Least and largest magnification; below 1 the image shrinks and its border is drawn out.
        rotate: Largest turn, in degrees.
        aspect_ratio: Largest change of width over height, as a factor (1.2 allows 1/1.2 to 1.2).
        shear: Largest shear, in degrees.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        hue: Largest turn of the hues, in degrees.
        pca_lighting: Deviation of the noise along the principal components of ImageNet's colours (AlexNet's is 0.1).
        crop_scale: Smallest and largest area of a random resized crop, as fractions of the image; None crops nothing.
        crop_ratio: Largest width over height of that part, relative to the image's, and height over width.
        rand_augment: Number and magnitude, from 0 to 10, of the random operations of RandAugment; None applies none.
        random_erasing: Chance that a rectangle is painted over.
        mixup: The Beta distribution's parameter by which pairs of images are blended; 0 blends none.
        cutmix: That by which a rectangle of one image is laid on another; 0 lays none. With both, each batch draws.
        padding_mode: What lies outside the image: black (``zeros``), ImageNet's mean colour, which is 0 once normalised
            (``mean``), the outermost pixels drawn out (``border``), or the image mirrored (``reflection``).
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
            raise ValueError(f"flip is true, false or alternate; got {self.flip!r}")
        if not 0 < self.scale[0] <= self.scale[1] or self.aspect_ratio < 1 or min(self.translate, self.pad) < 0:
            raise ValueError(
                f"scale is two factors above 0, aspect_ratio at least 1, translate and pad not below 0; got {self}"
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
    """How the learning rate moves.

    Args:
        kind: After the warm-up: ``cosine`` (half a cosine to 0), ``linear`` (straight down to `end_factor`), ``step``
            (times `gamma` at each of `milestones`, or every `step_size`), ``plateau`` (times `gamma` when validation
            has not improved for `patience` epochs), ``cosine_restarts`` (several half cosines; the weights at the end
            of each are kept) or ``constant``.
        warmup: Fraction of all steps over which the learning rate rises from 0 to its peak.
        milestones: Where it falls, as fractions of all steps.
        step_size: Fraction of all steps from one fall to the next, in place of `milestones`.
        gamma: What it is multiplied by there.
        gammas: One factor for each of `milestones`, if they differ; empty takes `gamma`.
        patience: Epochs without a new best accuracy.
        end_factor: Share of the peak where a straight line ends.
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
            raise ValueError(f"kind is one of {', '.join(_KINDS)}; got {self.kind!r}")
        if not 0 <= self.warmup < 1 or not all(0 < place < 1 for place in self.milestones):
            raise ValueError(f"warmup and milestones must be fractions of all steps, below 1; got {self}")
        if (self.kind == "step") != (bool(self.milestones) != (self.step_size is not None)):
            raise ValueError("kind 'step' takes either milestones or step_size, and no other kind takes them")
        if self.step_size is not None and not 0 < self.step_size < 1:
            raise ValueError(f"step_size is a fraction of all steps, above 0 and below 1; got {self.step_size}")
        if self.cycles < 1 or (self.cycles > 1 and self.kind != "cosine_restarts"):
            raise ValueError(f"kind 'cosine_restarts' has 1 cycle or more, and no other kind has several; got {self}")
        if self.gammas and len(self.gammas) != len(self.milestones):
            raise ValueError(f"each of {len(self.milestones)} milestones has a gamma; got {len(self.gammas)} gammas")


_KINDS = ("cosine", "linear", "step", "plateau", "cosine_restarts", "constant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        optimizer: ``sgd`` (with momentum), ``rmsprop`` or ``adamw``.
        lr: Peak learning rate.
        momentum: Of SGD and RMSprop.
        nesterov: Whether SGD looks ahead by Nesterov's rule.
        norm_bias_lr_scale: Factor of the learning rate for the biases of normalisations.
        weight_decay: On the weights of convolutions and linear layers.
        decay_norm_and_bias: Whether biases and normalisations decay too, as they did in papers before 2017.
        batch: Images a step.
        micro_batch: Images of which a normalisation takes its statistics; a divisor of `batch`, and None for all of it.
        epochs: Number of epochs.
        steps: Steps in all, where a paper counts those; None takes `epochs`.
        schedule: The learning-rate schedule.
        label_smoothing: Share of the target given to all classes alike (label smoothing).
        aux_weight: Weight of the loss of each auxiliary head.
        clip_grad_norm: Largest norm of the gradient; None leaves it alone.
        ema_decay: Decay of the EMA of the weights at each step; None keeps the last weights.
        balance: ``oversample`` draws every class equally often, ``weights`` counts rare classes more in the loss.
        whiten: Whether the first convolution takes apart the training images' patches into their principal
            directions, each with variance 1, from before the first step, and learns no more than its bias.
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
            raise ValueError(f"optimizer is sgd, rmsprop or adamw; got {self.optimizer!r}")
        if self.balance not in ("none", "oversample", "weights"):
            raise ValueError(f"balance is none, oversample or weights; got {self.balance!r}")
        if (
            min(self.lr, self.norm_bias_lr_scale) <= 0
            or min(self.batch, self.epochs, 1 if self.steps is None else self.steps) < 1
        ):
            raise ValueError(f"lr, batch, epochs and steps must be above 0; got {self}")
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise ValueError(f"micro_batch divides the batch of {self.batch}; got {self.micro_batch}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay is a share above 0 and below 1; got {self.ema_decay}")

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
    """The recipe called `name`, or that of a file: a name that ends with ``.toml`` is a path.

    Raises:
        PlanError: There is none of that name, or the file is no recipe.
    """
    return _of_file(Path(name).expanduser()) if name.endswith(_ENDING) else _shipped(name)


def title(name: str) -> str:
    """What people call a recipe: its name, or that of its file.

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
        raise PlanError(f"no recipe is called {name!r}", hint=hint)
    text = (resources.files("striate.recipes") / (name + _ENDING)).read_text(encoding="utf-8")
    return io.from_json(Recipe, tomllib.loads(text))


def _of_file(path: Path) -> Recipe:
    try:
        return io.from_json(Recipe, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PlanError(f"the recipe {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"the recipe {path} is no TOML: {error}") from error
    except (TypeError, ValueError) as error:
        raise PlanError(f"the recipe {path} is refused: {error}") from error
