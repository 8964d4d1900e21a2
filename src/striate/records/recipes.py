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
    """How training images are varied; every value is drawn anew for each image and epoch.

    Args:
        flip: Whether half of the images are mirrored left to right. ``alternate`` draws which half only once, and
            mirrors the other half in every second epoch, so that two epochs show each image both ways.
        shift: Largest shift along each side, as a share of it.
        pad: Width of the frame, as a share of each side, with which a window of the image's own size is cut out, by
            whole pixels; papers on CIFAR do that, with 0.125.
        zoom: Least and largest magnification; below 1 the image shrinks and its border is drawn out.
        rotate: Largest turn, in degrees.
        stretch: Largest change of width over height, as a factor (1.2 allows 1/1.2 to 1.2).
        shear: Largest shear, in degrees.
        brightness: Largest change of brightness, as a share.
        contrast: Largest change of contrast, as a share.
        saturation: Largest change of saturation, as a share.
        hue: Largest turn of the hues, in degrees.
        lighting: Deviation of the noise along the principal components of ImageNet's colours (AlexNet's is 0.1).
        crop: Least and largest area of the part that is cut out and drawn to the whole size, as shares; None cuts none.
        aspect: Largest width over height of that part, relative to the image's, and height over width.
        policy: Number and strength, from 0 to 10, of the random operations of RandAugment; None applies none.
        erase: Chance that a rectangle is painted over.
        mixup: The Beta distribution's parameter by which pairs of images are blended; 0 blends none.
        cutmix: That by which a rectangle of one image is laid on another; 0 lays none. With both, each batch draws.
        border: What lies outside the image: black (``zeros``), ImageNet's mean colour, which is 0 once normalised
            (``mean``), the outermost pixels drawn out (``border``), or the image mirrored (``reflection``).
    """

    flip: bool | Literal["alternate"] = False
    shift: float = 0.0
    pad: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    rotate: float = 0.0
    stretch: float = 1.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    lighting: float = 0.0
    crop: tuple[float, float] | None = None
    aspect: float = 4 / 3
    policy: tuple[int, float] | None = None
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    border: Literal["zeros", "mean", "border", "reflection"] = "border"

    def __post_init__(self) -> None:
        if self.flip not in (False, True, "alternate"):
            raise ValueError(f"flip is true, false or alternate; got {self.flip!r}")
        if not 0 < self.zoom[0] <= self.zoom[1] or self.stretch < 1 or min(self.shift, self.pad) < 0:
            raise ValueError(f"zoom is two factors above 0, stretch at least 1, shift and pad not below 0; got {self}")
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop runs from a least to a largest share of the area, at most 1; got {self.crop}")
        if self.aspect < 1 or not 0 <= self.erase <= 1 or min(self.mixup, self.cutmix, self.lighting, self.hue) < 0:
            raise ValueError(f"aspect is at least 1, erase a chance, strengths are not below 0; got {self}")
        if self.policy is not None and (self.policy[0] < 1 or not 0 <= self.policy[1] <= 10):
            raise ValueError(f"policy is a number of operations and a strength from 0 to 10; got {self.policy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How the learning rate moves.

    Args:
        kind: After the warm-up: ``cosine`` (half a cosine to 0), ``line`` (straight down to `floor`), ``steps`` (times
            `factor` at each of `places`, or `every` so often), ``plateau`` (times `factor` whenever validation stood
            still for `patience` epochs), ``cycles`` (several half cosines, each begun anew; the weights at their ends
            are kept) or ``constant``.
        warmup: Share of all steps over which the rate rises from 0 to its peak.
        places: Where it falls, as shares of all steps.
        every: Share of all steps from one fall to the next, in place of `places`.
        factor: What it is multiplied by there.
        factors: Those of each of `places`, where they differ; empty takes `factor`.
        patience: Epochs without a new best accuracy.
        floor: Share of the peak where a straight line ends.
        cycles: Number of half cosines of kind ``cycles``.
    """

    kind: Literal["cosine", "line", "steps", "plateau", "cycles", "constant"] = "cosine"
    warmup: float = 0.0
    places: tuple[float, ...] = ()
    every: float | None = None
    factor: float = 0.1
    factors: tuple[float, ...] = ()
    patience: int = 10
    floor: float = 0.0
    cycles: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind is one of {', '.join(_KINDS)}; got {self.kind!r}")
        if not 0 <= self.warmup < 1 or not all(0 < place < 1 for place in self.places):
            raise ValueError(f"warmup and places are shares of all steps, below 1; got {self}")
        if (self.kind == "steps") != (bool(self.places) != (self.every is not None)):
            raise ValueError("kind 'steps' takes either places or every, and no other kind takes them")
        if self.every is not None and not 0 < self.every < 1:
            raise ValueError(f"every is a share of all steps, above 0 and below 1; got {self.every}")
        if self.cycles < 1 or (self.cycles > 1 and self.kind != "cycles"):
            raise ValueError(f"kind 'cycles' has 1 cycle or more, and no other kind has several; got {self}")
        if self.factors and len(self.factors) != len(self.places):
            raise ValueError(f"each of {len(self.places)} places has a factor; got {len(self.factors)} factors")


_KINDS = ("cosine", "line", "steps", "plateau", "cycles", "constant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        optimizer: ``sgd`` (with momentum), ``rmsprop`` or ``adamw``.
        rate: Peak learning rate.
        momentum: Of SGD and RMSprop.
        nesterov: Whether SGD looks ahead by Nesterov's rule.
        norm_bias_rate: The rate of the shifts (biases) of normalisations, as a multiple of everything else's.
        weight_decay: On the weights of convolutions and dense layers.
        decay_all: Whether biases and normalisations decay too, as they did in papers before 2017.
        batch: DecodedImages a step.
        group: DecodedImages of which a normalisation takes its statistics; a divisor of `batch`, and None for all of it.
        epochs: Passes over the training images.
        steps: Steps in all, where a paper counts those; None takes `epochs`.
        schedule: How the rate moves.
        smoothing: Share of the target given to all classes alike (label smoothing).
        aux: Weight of the loss of each auxiliary head.
        clip: Largest norm of the gradient; None leaves it alone.
        ema: Share of the running mean of the weights that stays at each step; None keeps the last weights.
        balance: ``oversample`` draws every class equally often, ``weights`` counts rare classes more in the loss.
        whiten: Whether the first convolution takes apart the training images' patches into their principal
            directions, each with variance 1, from before the first step, and learns no more than its bias.
        augment: How images are varied.
        source: Where the recipe comes from.
    """

    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    norm_bias_rate: float = 1.0
    weight_decay: float = 5e-4
    decay_all: bool = False
    batch: int = 128
    group: int | None = None
    epochs: int = 20
    steps: int | None = None
    schedule: Schedule = field(default_factory=Schedule)
    smoothing: float = 0.0
    aux: float = 0.0
    clip: float | None = None
    ema: float | None = None
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
            min(self.rate, self.norm_bias_rate) <= 0
            or min(self.batch, self.epochs, 1 if self.steps is None else self.steps) < 1
        ):
            raise ValueError(f"rates, batch, epochs and steps are above 0; got {self}")
        if self.group is not None and (self.group < 1 or self.batch % self.group):
            raise ValueError(f"group divides the batch of {self.batch}; got {self.group}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema is a share above 0 and below 1; got {self.ema}")

    def compressed(self, share: float) -> Recipe:
        """The same recipe in a share of its steps: every fall of the rate keeps its place, nothing is cut off.

        Args:
            share: Above 0, at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"a share of the schedule is above 0 and at most 1; got {share}")
        if self.steps is not None:
            return replace(self, steps=max(1, round(self.steps * share)))
        return replace(self, epochs=max(1, round(self.epochs * share)))


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
