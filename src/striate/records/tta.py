"""Test-time augmentation: the probabilities of several copies of an image are averaged. One table row per policy."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from striate.core.errors import PlanError
from striate.core.registry import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One copy of an image.

    Args:
        place: Vertical and horizontal position of the crop in the resized image, from 0 (top, left) to 1 (bottom,
            right); 0.5 is the centre.
        shift: Translation down and to the right, as fractions of the sides, in whole pixels and at least one pixel if
            it is not 0; reflection fills the margin.
        mirror: Whether the image is flipped left to right.
        weight: Weight of the copy's probabilities in the average.
    """

    place: tuple[float, float] = (0.5, 0.5)
    shift: tuple[float, float] = (0.0, 0.0)
    mirror: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TTAPolicy:
    """A test-time augmentation: copies of the image whose probabilities are averaged; the first is unchanged.

    Args:
        name: Name of the policy.
        views: The copies; their weights must add up to 1.
        source: Where the policy comes from.
    """

    name: str
    views: tuple[View, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if not math.isclose(sum(view.weight for view in self.views), 1.0):
            raise ValueError(f"the weights of {self.name} must add up to 1; got {[view.weight for view in self.views]}")
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
"""One pixel of 32, up and left or down and right; the unshifted image weighs as much as both together."""
_CROPS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))

_SETS = (
    TTAPolicy(
        name="mirror",
        views=(View(weight=0.5), View(mirror=True, weight=0.5)),
        source="Simonyan and Zisserman 2014 (arXiv 1409.1556), section 3.2",
    ),
    TTAPolicy(
        name="shift",
        views=tuple(View(shift=(down, right), weight=parts / 4) for down, right, parts in _SHIFTS),
        source="mirror-shift without the mirror, for images such as digits that mean something else when mirrored",
    ),
    TTAPolicy(
        name="mirror-shift",
        views=tuple(
            View(shift=(down, right), mirror=mirror, weight=parts / 8)
            for (down, right, parts), mirror in itertools.product(_SHIFTS, (False, True))
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
        PlanError: There is no test-time augmentation of that name.
    """
    if name is None:
        return NO_TTA
    if name not in VIEWS:
        close = nearest(name, list(VIEWS))
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(VIEWS)}"
        raise PlanError(f"there is no test-time augmentation {name!r}", hint=hint)
    return VIEWS[name]
