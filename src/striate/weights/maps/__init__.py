"""Name maps from published checkpoints to our networks: one module a source, one table a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from striate.core.errors import CheckpointError
from striate.models.base import ImageModel
from striate.weights.maps import akamaster, keras, striate, timm, torchvision
from striate.weights.maps.rules import Rule

Map = Callable[[ImageModel], list[Rule]]

_SOURCES: Mapping[str, Mapping[str, Map]] = {
    "striate": striate.FAMILIES,
    "torchvision": torchvision.FAMILIES,
    "timm": timm.FAMILIES,
    "keras": keras.FAMILIES,
    "akamaster": akamaster.FAMILIES,
}


def get(source: str, family: str) -> Map:
    """The map of a source's names for a family.

    Raises:
        CheckpointError: There is no such source, or it has no weights of this family.
    """
    if source not in _SOURCES:
        raise CheckpointError(f"no weights come from {source!r}", hint=f"known: {', '.join(_SOURCES)}")
    families = _SOURCES[source]
    found = families.get(family, families.get("*"))
    if found is None:
        having = [name for name, each in _SOURCES.items() if family in each or "*" in each]
        raise CheckpointError(f"{source} has no weights of {family} networks", hint=f"these have: {', '.join(having)}")
    return found


def sources(family: str) -> dict[str, Map]:
    """The sources that know a family; of two with the very same names, the first."""
    found: dict[str, Map] = {}
    for name, families in _SOURCES.items():
        each = families.get(family, families.get("*"))
        if each is not None and each not in found.values():
            found[name] = each
    return found
