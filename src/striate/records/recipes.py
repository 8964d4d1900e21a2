"""How a network is trained: recipes, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from striate.core.errors import PlanError
from striate.core.registry import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """How training pictures are varied; every value is drawn anew for each picture and epoch.

    Args:
        flip: Whether half of the pictures are mirrored left to right.
        shift: Largest shift along each side, as a share of it.
        zoom: Least and largest magnification; below 1 the picture shrinks and its border is drawn out.
        rotate: Largest turn, in degrees.
        stretch: Largest change of width over height, as a factor (1.2 allows 1/1.2 to 1.2).
        shear: Largest shear, in degrees.
        brightness: Largest change of brightness, as a share.
        contrast: Largest change of contrast, as a share.
        saturation: Largest change of saturation, as a share.
        border: What lies outside the picture.
    """

    flip: bool = False
    shift: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    rotate: float = 0.0
    stretch: float = 1.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    border: Literal["zeros", "border", "reflection"] = "border"

    def __post_init__(self) -> None:
        if not 0 < self.zoom[0] <= self.zoom[1] or self.stretch < 1 or self.shift < 0:
            raise ValueError(f"zoom runs from a least to a largest factor above 0, stretch is at least 1; got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        optimizer: ``sgd`` (Nesterov momentum) or ``adamw``.
        rate: Peak learning rate.
        momentum: Of SGD.
        weight_decay: On the weights of convolutions and dense layers; biases and normalisations have none.
        batch: Pictures a step.
        epochs: Passes over the training pictures.
        warmup: Share of all steps over which the rate rises from 0 to its peak; then it falls along a half cosine to 0.
        smoothing: Share of the target given to all classes alike (label smoothing).
        clip: Largest norm of the gradient; None leaves it alone.
        augment: How pictures are varied.
        source: Where the recipe comes from.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 128
    epochs: int = 20
    warmup: float = 0.1
    smoothing: float = 0.0
    clip: float | None = None
    augment: Augment = field(default_factory=Augment)
    source: str = ""

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw"):
            raise ValueError(f"optimizer is sgd or adamw; got {self.optimizer!r}")
        if self.rate <= 0 or self.batch < 1 or self.epochs < 1 or not 0 <= self.warmup < 1:
            raise ValueError(f"rate, batch and epochs are above 0 and warmup is a share below 1; got {self}")


def _build(table: Mapping[str, Any]) -> Recipe:
    def plain(values: Mapping[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "augment"}

    return Recipe(**plain(table), augment=Augment(**plain(table.get("augment", {}))))


@cache
def recipe_names() -> tuple[str, ...]:
    """The recipes that the package ships."""
    folder = resources.files("striate.recipes")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


@cache
def recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        PlanError: There is none of that name.
    """
    if name not in recipe_names():
        close = nearest(name, list(recipe_names()))
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(recipe_names())}"
        raise PlanError(f"no recipe is called {name!r}", hint=hint)
    return _build(tomllib.loads((resources.files("striate.recipes") / f"{name}.toml").read_text(encoding="utf-8")))
