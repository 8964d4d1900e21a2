"""Lists the networks and their published weights. Needs no torch."""

from __future__ import annotations

from typing import Any

from striate.core.errors import UnknownModelError
from striate.core.registry import nearest
from striate.records import zoo
from striate.records.io import to_json
from striate.weights import catalogue


def run(family: str | None = None, weights: bool = False) -> list[dict[str, Any]]:
    """A row for every network, oldest paper first.

    Args:
        family: Only networks of this family; None lists all.
        weights: Whether the weights come with everything that the catalogue says of them; else by their tags alone.

    Returns:
        Rows of `striate.records.zoo.ZooRow`, with ``weights`` beside its fields: best first, and empty where nothing
        is published; and with ``published``, the first accuracy among them with its source, or None.

    Raises:
        UnknownModelError: There is no such family.
    """
    known = zoo.families()
    if family is not None and family not in known:
        close = nearest(family, known)
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UnknownModelError(f"no family is called {family!r}", hint=hint)
    return [
        to_json(row)
        | {
            "published": published(row.name),
            "weights": [_weights(each, full=weights) for each in catalogue.entries_for(row.name)],
        }
        for row in zoo.rows()
        if family in (None, row.family)
    ]


def published(name: str) -> dict[str, Any] | None:
    """The accuracy that is published for the best weights for which one is: in percent, with its source.

    Args:
        name: As in the registry (not an alias).
    """
    for entry in catalogue.entries_for(name):
        if entry.metric is not None:
            return to_json(entry.metric) | {"weights": entry.tag, "source": entry.source}
    return None


def _weights(entry: catalogue.Checkpoint, *, full: bool) -> Any:
    return to_json(entry) if full else entry.tag
