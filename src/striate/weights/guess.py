"""What a file of weights is that stands in no catalogue: the one source whose names account for every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from striate.core.errors import CheckpointError
from striate.core.meta import shapes_only
from striate.core.preprocess import Preprocess
from striate.models import Entry
from striate.weights import maps
from striate.weights.catalogue import entries_for
from striate.weights.load import Fit, fit, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What a file seems to be.

    Args:
        source: Whose names it uses.
        classes: Length of its output.
        backbone: Whether it holds no classifier.
        preprocess: That of the catalogue's first weights of this source that fit, or the usual one.
        note: What was assumed, for a person to check.
        options: Fields of the spec, from the same place.
    """

    source: str
    classes: int
    backbone: bool
    preprocess: Preprocess
    note: str
    options: dict[str, Any] = field(default_factory=dict)


def guess(entry: Entry, state: Mapping[str, Tensor], path: Path) -> Guess:
    """Find the source and options under which every tensor of a file has its place in a network.

    Padding, eps and preprocessing leave no trace in a file; they are assumed to be those of the catalogue's first
    fitting weights of the same source, and the note says so.

    Args:
        entry: The network.
        state: The file's tensors.
        path: The file, for messages.

    Raises:
        CheckpointError: No source fits, or more than one.
    """
    fits: dict[str, Guess] = {}
    nearest: tuple[int, CheckpointError] | None = None
    for source, table in maps.sources(entry.family).items():
        alike, needed = maps.like(source, entry.family)
        known = [each for each in entries_for(entry.name) if each.source == alike]
        for like in (*known, None):
            options = (like.options if like else {}) | needed
            with shapes_only():
                model = entry.classifier(options=options)
            found = fit(model, maps.tidied(state, source), table(model))
            backbone = not found.extra and bool(found.missing) and all(n.startswith("head.") for n in found.missing)
            if found.complete or backbone or (found.other_classes and not found.extra and not found.missing):
                fits[source] = Guess(
                    source=source,
                    classes=_classes(found, model.classes),
                    backbone=backbone,
                    preprocess=like.preprocess if like else usual(entry.input),
                    note=f"{path.name} is in no catalogue; preprocessing and options are assumed to be those of "
                    + (like.name if like else f"any {entry.name}"),
                    options=dict(options),
                )
                break
            if nearest is None or len(found.tensors) > nearest[0]:
                nearest = (len(found.tensors), refusal(found, model, source))
    if len(fits) > 1:
        raise CheckpointError(f"{path} could be of {' or '.join(fits)}", hint="load it by weights.load_state_dict")
    if not fits:
        reason = nearest[1].message if nearest else "no source is known"
        raise CheckpointError(f"{path} does not fit {entry.name}: {reason}", hint="name the network that it is of")
    return next(iter(fits.values()))


def usual(shape: tuple[int, int, int]) -> Preprocess:
    """The preprocessing that most networks of an input shape (channels, height, width) have."""
    channels, height, width = shape
    resize = round(max(height, width) / 0.875) if max(height, width) > 64 else None
    if channels == 1:
        return Preprocess(size=(height, width), resize=resize, channels="grey", mean=(0.5,), std=(0.5,))
    return Preprocess(size=(height, width), resize=resize)


def _classes(found: Fit, built: int) -> int:
    theirs = found.mismatched.get("head.logits.weight")
    return theirs[0][0] if theirs else built
