"""Test-time augmentation: an image is looked at several times, and the probabilities are averaged. A row each way."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from striate.core.errors import PlanError
from striate.core.registry import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at an image.

    Args:
        place: Where the network's input lies in the resized image, downwards and to the right: 0 at the first edge, 1
            at the other, a half in the middle.
        shift: How far the image is moved, down and to the right, as fractions of its sides, by whole pixels and where
            not 0 by one at least; what comes in is its reflection.
        mirror: Whether the image is mirrored left to right.
        weight: Share of its probabilities in the mean.
    """

    place: tuple[float, float] = (0.5, 0.5)
    shift: tuple[float, float] = (0.0, 0.0)
    mirror: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TTAPolicy:
    """A test-time augmentation: copies of the image whose probabilities are averaged; the first is unchanged.

    Args:
        name: What users call it.
        views: The augmented copies; their weights add up to 1.
        source: Where it comes from.
    """

    name: str
    views: tuple[View, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if not math.isclose(sum(view.weight for view in self.views), 1.0):
            raise ValueError(f"the weights of {self.name} add up to 1; got {[view.weight for view in self.views]}")
        first = self.views[0]
        if first != View(weight=first.weight):
            raise ValueError(f"the first copy of {self.name} must be the unchanged image; got {first}")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each copy."""
        return tuple(view.weight for view in self.views)

    @property
    def crops(self) -> bool:
        """Whether a copy lies beside the centre of the resized image."""
        return any(view.place != (0.5, 0.5) for view in self.views)


NO_TTA = TTAPolicy(name="plain", views=(View(),))
_SHIFTS = ((0.0, 0.0, 2), (-1 / 32, -1 / 32, 1), (1 / 32, 1 / 32, 1))
"""By a pixel of 32, up and left or down and right; in the mean the unmoved image counts as much as both."""
_CROPS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))

_SETS = (
    TTAPolicy(
        name="mirror",
        views=(View(weight=0.5), View(mirror=True, weight=0.5)),
        source="Simonyan and Zisserman 2014 (arXiv 1409.1556), section 3.2",
    ),
    TTAPolicy(
        name="shift",
        views=tuple(View(shift=(down, right), weight=share / 4) for down, right, share in _SHIFTS),
        source="mirror-shift without the mirror, for images such as digits that mean something else when mirrored",
    ),
    TTAPolicy(
        name="mirror-shift",
        views=tuple(
            View(shift=(down, right), mirror=mirror, weight=share / 8)
            for (down, right, share), mirror in itertools.product(_SHIFTS, (False, True))
        ),
        source="Jordan 2024 (arXiv 2404.00498) and its code, airbench94, which averages logits",
    ),
    TTAPolicy(
        name="five-crop",
        views=tuple(View(place=place, weight=1 / 5) for place in _CROPS),
        source="ten-crop without the mirror",
    ),
    TTAPolicy(
        name="ten-crop",
        views=tuple(
            View(place=p, mirror=mirror, weight=1 / 10) for mirror, p in itertools.product((False, True), _CROPS)
        ),
        source="Krizhevsky et al. 2012, section 4.1: the corners and the middle, and their mirror images",
    ),
)
VIEWS = {each.name: each for each in _SETS}


def tta_policy(name: str | None) -> TTAPolicy:
    """The test-time augmentation called `name`; for None, the unchanged image.

    Raises:
        PlanError: There are none of that name.
    """
    if name is None:
        return NO_TTA
    if name not in VIEWS:
        close = nearest(name, list(VIEWS))
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(VIEWS)}"
        raise PlanError(f"there is no test-time augmentation {name!r}", hint=hint)
    return VIEWS[name]
