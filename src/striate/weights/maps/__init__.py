"""Name maps from published checkpoints to our networks: one module a family, one function a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from striate.core.errors import CheckpointError
from striate.weights.maps import (
    alexnet,
    cifar_resnet,
    convnext,
    convnext_v2,
    densenet,
    efficientnet,
    efficientnet_lite,
    googlenet,
    inception_resnet_v2,
    inception_v3,
    mobilenet_v1,
    mobilenet_v2,
    nasnet,
    resnet,
    resnet_v2,
    resnext,
    senet,
    striate,
    transformers,
    vgg,
    wide_resnet,
    xception,
)
from striate.weights.maps.keras_layout import renumbered
from striate.weights.maps.rules import Row

Map = Callable[[Any], list[Row]]
"""A family's network to the rules for its tensors."""

SOURCES = ("striate", "torchvision", "timm", "keras", "akamaster", "lukemelas", "transformers", "facebook")
"""Whose names are known."""

_FAMILIES: Mapping[str, Mapping[str, Map]] = {
    "alexnet": alexnet.SOURCES,
    "cifar_resnet": cifar_resnet.SOURCES,
    "convnext": convnext.SOURCES,
    "convnext_v2": convnext_v2.SOURCES,
    "densenet": densenet.SOURCES,
    "efficientnet": efficientnet.SOURCES,
    "efficientnet_lite": efficientnet_lite.SOURCES,
    "googlenet": googlenet.SOURCES,
    "inception_resnet_v2": inception_resnet_v2.SOURCES,
    "inception_v3": inception_v3.SOURCES,
    "mobilenet_v1": mobilenet_v1.SOURCES,
    "mobilenet_v2": mobilenet_v2.SOURCES,
    "nasnet": nasnet.SOURCES,
    "resnet": resnet.SOURCES,
    "resnet_v2": resnet_v2.SOURCES,
    "resnext": resnext.SOURCES,
    "senet": senet.SOURCES,
    "vgg": vgg.SOURCES,
    "wide_resnet": wide_resnet.SOURCES,
    "xception": xception.SOURCES,
}


def _of(family: str) -> dict[str, Map]:
    return {**striate.SOURCES, **_FAMILIES.get(family, {})}


def get(source: str, family: str) -> Map:
    """The map of a source's names for a family.

    Raises:
        CheckpointError: There is no such source, or it has no weights of this family.
    """
    if source not in SOURCES:
        raise CheckpointError(f"no weights come from {source!r}", hint=f"known: {', '.join(SOURCES)}")
    having = _of(family)
    if source not in having:
        raise CheckpointError(f"{source} has no weights of {family} networks", hint=f"these have: {', '.join(having)}")
    return having[source]


def sources(family: str) -> dict[str, Map]:
    """The sources that know a family; of two with the very same names, the first."""
    found: dict[str, Map] = {}
    for name, each in _of(family).items():
        if each not in found.values():
            found[name] = each
    return found


def like(source: str, family: str) -> tuple[str, dict[str, Any]]:
    """The source whose catalogue entries have the preprocessing of a source without entries, and the options it needs.

    Returns:
        The source itself, and no options, where entries of its own say both.
    """
    if source == "transformers":
        return transformers.LIKE.get(family, "timm"), transformers.OPTIONS.get(family, {})
    return ("timm" if source == "facebook" else source), {}


def tidied(state: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
    """A file's tensors, names that depend on how the file came about made the same."""
    return renumbered(state) if source == "keras" else state
