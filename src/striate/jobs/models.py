"""Lists the networks and their published weights. Needs no torch."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from striate.core.cancel import CancelToken
from striate.core.errors import UnknownModelError
from striate.core.events import ProgressCallback
from striate.core.registry import nearest
from striate.records import zoo
from striate.records.plans import ModelsPlan
from striate.records.zoo import ModelRecord, PublishedAccuracy, ZooRow
from striate.weights import catalogue


def run(
    plan: ModelsPlan, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
) -> tuple[ModelRecord, ...]:
    """List networks, the oldest paper first.

    Args:
        plan: Which networks, and how their weights are listed.
        progress: Not used: the table is read at once.
        cancel: Is not asked, for the same reason.

    Raises:
        UnknownModelError: There is no such family.
    """
    known = zoo.families()
    if plan.family is not None and plan.family not in known:
        close = nearest(plan.family, known)
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UnknownModelError(f"no family is called {plan.family!r}", hint=hint)
    return tuple(_model(row, full=plan.weights) for row in zoo.rows() if plan.family in (None, row.family))


def published(name: str) -> PublishedAccuracy | None:
    """The accuracy that is published for the best weights for which one is: in percent, with its source.

    Args:
        name: As in the registry (not an alias).
    """
    for entry in catalogue.entries_for(name):
        if (found := entry.metric) is not None:
            return PublishedAccuracy(
                dataset=found.dataset, top1=found.top1, top5=found.top5, weights=entry.tag, source=entry.source
            )
    return None


def _model(row: ZooRow, *, full: bool) -> ModelRecord:
    facts: dict[str, Any] = {each.name: getattr(row, each.name) for each in fields(row)}
    entries = catalogue.entries_for(row.name)
    weights = tuple(entries) if full else tuple(each.tag for each in entries)
    return ModelRecord(**facts, published=published(row.name), weights=weights)
