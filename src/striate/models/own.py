"""Registers networks of your own under a name, so that every command and function takes them like any other.

A plain `torch.nn.Sequential` is enough: it is divided into stages where its resolution falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from striate.core.errors import PlanError
from striate.core.meta import shapes_only
from striate.core.paper import Paper
from striate.models import ImageModel
from striate.models.registry import REGISTRY, Entry, Task
from striate.nn.heads import Head

_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten)
_PAPER = Paper(authors="", year=9999, month=12, title="A network of your own", ref="")


@dataclass(frozen=True, slots=True)
class OwnSpec:
    """A network of your own has no options."""


def register_model(
    name: str, build: Callable[..., nn.Module], *, input: tuple[int, int, int], classes: int = 10
) -> None:
    """Add a network of your own to the registry.

    `create_model`, `train`, `fit` and the other functions of `striate` then take its name. Register it again in every
    process that loads its runs. A name that you registered before is replaced; the name of a network of this package
    is refused.

    Args:
        name: The name that it gets.
        build: A function or class that takes ``classes`` and ``in_channels`` and returns an `ImageModel`, or a
            `torch.nn.Sequential` whose last layer is a `torch.nn.Linear` with ``classes`` outputs. A sequential needs
            a pooling or flattening layer between its convolutions and its linear layers, and is divided into stages
            where the resolution falls.
        input: Channels, height and width of the images that it is made for, in pixels.
        classes: Its number of classes when none is asked for.

    Raises:
        PlanError: The name is taken, or the network cannot be used.

    Example:
        >>> def small(classes, in_channels):
        ...     pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        ...     return nn.Sequential(nn.Conv2d(in_channels, 8, 3, stride=2), nn.ReLU(), *pool, nn.Linear(8, classes))
        >>> register_model("small", small, input=(1, 28, 28))
        >>> REGISTRY.get("small").create(classes=3).stages
        ('stem',)
    """
    known = REGISTRY.get(name) if name in REGISTRY else None
    if known is not None and not isinstance(known.build, _Build):
        raise PlanError(f"{name!r} is the name of a network of this package", hint="choose another name")
    own = _Build(build, input)
    entry = Entry(
        name=name, family="own", build=own, spec=OwnSpec(), tiny=OwnSpec(), paper=_PAPER, input=input, classes=classes
    )
    with shapes_only():
        own(OwnSpec(), classes=classes, in_channels=input[0])  # an unusable network is refused here, not in training
    REGISTRY.replace(name, entry)


@final
class _Build:
    """Builds a network of the user's own."""

    task: Task = "classify"

    def __init__(self, build: Callable[..., nn.Module], input: tuple[int, int, int]) -> None:
        self._build, self._input = build, input

    def __call__(self, spec: OwnSpec, *, classes: int, in_channels: int) -> ImageModel:
        """Build it."""
        made = self._build(classes=classes, in_channels=in_channels)
        if isinstance(made, ImageModel):
            return made
        if isinstance(made, nn.Sequential):
            return SequentialModel(made, (in_channels, *self._input[1:]), classes)
        raise PlanError(
            f"the network is a {type(made).__name__}",
            hint="return a torch.nn.Sequential, or derive the class from striate.models.ImageModel",
        )


@final
class SequentialModel(ImageModel):
    """A plain sequence of layers as a network with stages and a head.

    Args:
        layers: Convolutional layers, a pooling or flattening layer, and linear layers.
        input: Channels, height and width of an image.

    Raises:
        PlanError: The sequence has another form.
    """

    def __init__(self, layers: nn.Sequential, input: tuple[int, int, int], classes: int) -> None:
        super().__init__(in_channels=input[0], classes=classes)
        parts = list(layers)
        first = next((place for place, part in enumerate(parts) if isinstance(part, _POOLS)), 0)
        last = parts[-1] if parts else None
        if not first or not isinstance(last, nn.Linear) or last.out_features != classes:
            raise PlanError(
                "the sequence has no pooling or flattening layer after its convolutions, or does not end in a "
                f"Linear layer with {classes} outputs",
                hint="end it in nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)",
            )
        stages = _stages(parts[:first], input)
        for number, (modules, channels, stride) in enumerate(stages):
            name = f"stage{number}" if number else "stem"
            self.add_stage(name, nn.Sequential(*modules), channels, stride=stride)
        pool = next((place for place, part in enumerate(parts) if isinstance(part, nn.Flatten)), first)
        hidden = {f"fc{number}": part for number, part in enumerate(parts[pool + 1 : -1], start=1)}
        self.head = Head({"pool": nn.Sequential(*parts[first : pool + 1])} | hidden | {"logits": last})


def _stages(layers: list[nn.Module], input: tuple[int, int, int]) -> list[tuple[list[nn.Module], int, int]]:
    """The layers in groups that end before the resolution falls: layers, output channels, and stride of each."""
    device = next((each.device for layer in layers for each in layer.parameters()), torch.device("cpu"))
    training = [layer.training for layer in layers]
    x = torch.zeros((1, *input), device=device)
    found: list[tuple[list[nn.Module], int, int]] = []
    with torch.no_grad():
        for layer, mode in zip(layers, training, strict=True):
            before = x.shape[2]
            try:
                x = layer.eval()(x)
            except RuntimeError as error:
                raise PlanError(f"the network cannot run on an image of {list(input)}: {error}") from error
            finally:
                layer.train(mode)
            if x.ndim != 4:
                raise PlanError(f"{layer} gives {list(x.shape)} before any pooling or flattening layer")
            falls = x.shape[2] < before - before // 4  # a convolution without padding takes only the border away
            if falls or not found:
                found.append(([layer], x.shape[1], max(1, round(before / x.shape[2]))))
            else:
                modules, _, stride = found[-1]
                found[-1] = ([*modules, layer], x.shape[1], stride)
    return found
