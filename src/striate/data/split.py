"""Training, validation and test parts that repeat, and that stay put when images are added.

An image's side is a threshold on a hash of its content (or of its group's name) and the seed: 60 % train, 20 %
validate, 20 % test. Copies of one image are therefore always on one side, and adding or removing others moves none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from striate.core import seed as keyed
from striate.core.errors import DataError
from striate.data.image_index import ImageIndex
from striate.data.layout import TEST, TRAIN, VALIDATION

TRAIN_SHARE = 0.6
VALIDATION_SHARE = 0.2

_UNUSED = "unused"
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Positions in the index, int64 and ascending; no position is in two parts.

    Args:
        train: To train on.
        validation: To choose by.
        test: To look at once.
        unused: Readable, yet left out: beyond `per_class`, or a copy of what lies on another side.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    unused: np.ndarray


def split(
    index: ImageIndex,
    digests: Sequence[str],
    *,
    seed: int,
    per_class: int | None = None,
    exclude: Collection[int] = (),
) -> Splits:
    """Part the images.

    Splits that the source names are kept; where it names training and test only, a quarter of the training images
    validates. Two exceptions to "adding images moves none": a class whose draw leaves nothing to train on has its
    image of the lowest hash (with its copies or group) moved to training, from validation if it can be, else from a
    drawn test part; and `per_class` takes the lowest hashes among what is there.

    Args:
        index: The images.
        digests: Of their content; an image with "" is excluded.
        seed: Another seed, another draw.
        per_class: Images of each class for training and validation together, at least 2: three quarters (rounded up)
            train, and at least one validates. Where the source names both parts, or has groups, images keep their
            side. A class with fewer keeps what it has. None uses all. The test part is the same either way.
        exclude: Positions that cannot be used, such as unreadable images.

    Raises:
        DataError: A class has fewer than two usable images or none to train on, or a part came out empty.
    """
    barred = set(exclude)
    usable = [i for i in range(len(index)) if digests[i] and i not in barred]
    _refuse_small(index, usable)
    units = _units(index, digests)
    named = set(index.splits or ())
    sides: dict[int, str] = {}
    for i in usable:
        if index.splits is None:
            sides[i] = _drawn(units[i], seed)
        elif index.splits[i] == TRAIN and VALIDATION not in named:
            train_share = TRAIN_SHARE / (TRAIN_SHARE + VALIDATION_SHARE)
            sides[i] = TRAIN if keyed.unit_interval(seed, "split", units[i]) < train_share else VALIDATION
        else:
            sides[i] = index.splits[i]
    _fill_training(index, sides, units, seed, movable={VALIDATION, TEST} - named)
    if index.groups is not None:
        _part_copies(sides, digests, [side for side in (TRAIN, VALIDATION, TEST) if side == TRAIN or side not in named])
    if per_class is not None:
        fixed = index.groups is not None or VALIDATION in named
        _limit(index, sides, digests, seed, per_class, fixed=fixed)
    _refuse_empty(index, sides)
    return Splits(**{side: _positions(sides, side) for side in (TRAIN, VALIDATION, TEST, _UNUSED)})


def _positions(sides: dict[int, str], wanted: str) -> np.ndarray:
    return np.array(sorted(i for i, side in sides.items() if side == wanted), dtype=np.int64)


def _units(index: ImageIndex, digests: Sequence[str]) -> Sequence[str]:
    """What is drawn as one: the group where there is one, else the content."""
    if index.groups is None:
        return digests
    return [f"group:{group}" if group else digests[i] for i, group in enumerate(index.groups)]


def _drawn(unit: str, seed: int) -> str:
    place = keyed.unit_interval(seed, "split", unit)
    if place < TRAIN_SHARE:
        return TRAIN
    return VALIDATION if place < TRAIN_SHARE + VALIDATION_SHARE else TEST


def _refuse_small(index: ImageIndex, usable: Sequence[int]) -> None:
    counts = np.bincount(index.labels[usable], minlength=len(index.classes))
    small = [f"{name!r} ({n})" for name, n in zip(index.classes, counts, strict=True) if n < 2]
    if small:
        more = f" and {len(small) - _SHOWN} more" if len(small) > _SHOWN else ""
        raise DataError(
            f"{index.source} has classes with fewer than 2 usable images: {', '.join(small[:_SHOWN])}{more}",
            hint="add images to them, or remove them",
        )


def _fill_training(
    index: ImageIndex, sides: dict[int, str], units: Sequence[str], seed: int, *, movable: Collection[str]
) -> None:
    """Give every class something to train on."""
    training = {int(index.labels[i]) for i, side in sides.items() if side == TRAIN}
    for label in range(len(index.classes)):
        if label in training:
            continue
        mine = [i for i, side in sides.items() if index.labels[i] == label and side in movable]
        if not mine:
            continue  # the last check names it
        lowest = min(mine, key=lambda i: (sides[i] == TEST, keyed.unit_interval(seed, "split", units[i])))
        for i in sides:
            if units[i] == units[lowest] and sides[i] in movable:
                sides[i] = TRAIN
                training.add(int(index.labels[i]))


def _part_copies(sides: dict[int, str], digests: Sequence[str], drawn: Sequence[str]) -> None:
    """Where groups put copies of one image on several of the drawn sides, only those on the last side stay."""
    last: dict[str, int] = {}
    for i, side in sides.items():
        if side in drawn:
            last[digests[i]] = max(last.get(digests[i], 0), drawn.index(side))
    for i, side in sides.items():
        if side in drawn and drawn.index(side) < last[digests[i]]:
            sides[i] = _UNUSED


def _limit(
    index: ImageIndex, sides: dict[int, str], digests: Sequence[str], seed: int, per_class: int, *, fixed: bool
) -> None:
    """Keep `per_class` distinct images of each class for training and validation; put the others aside."""
    pools: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, side in sides.items():
        if side in (TRAIN, VALIDATION):
            pools[int(index.labels[i])][digests[i]].append(i)
            sides[i] = _UNUSED if not fixed else side
    for pool in pools.values():
        ranked = sorted(pool, key=lambda content: (keyed.unit_interval(seed, "per-class", content), content))
        if fixed:
            for side in (TRAIN, VALIDATION):
                mine = [[i for i in pool[content] if sides[i] == side] for content in ranked]
                share = _train_count(per_class) if side == TRAIN else per_class - _train_count(per_class)
                _keep(sides, [copies for copies in mine if copies], side, share)
        else:
            kept = [pool[content] for content in ranked[:per_class]]
            count = _train_count(len(kept))
            _keep(sides, kept[:count], TRAIN, count)
            _keep(sides, kept[count:], VALIDATION, len(kept) - count)
    _clear_contradictions(sides, digests)


def _train_count(total: int) -> int:
    """Three quarters, rounded up, with one left to validate where there are two."""
    return max(1, min(-(-3 * total // 4), total - 1))


def _keep(sides: dict[int, str], contents: Sequence[Sequence[int]], side: str, count: int) -> None:
    """Of contents, each with its copies, put the first copy of the first `count` on `side`, everything else aside."""
    for place, copies in enumerate(contents):
        for i in copies:
            sides[i] = _UNUSED
        if place < count:
            sides[copies[0]] = side


def _clear_contradictions(sides: dict[int, str], digests: Sequence[str]) -> None:
    """An image under two classes may have been ranked onto two sides; what trains does not validate."""
    training = {digests[i] for i, side in sides.items() if side == TRAIN}
    for i, side in sides.items():
        if side == VALIDATION and digests[i] in training:
            sides[i] = _UNUSED


def _refuse_empty(index: ImageIndex, sides: dict[int, str]) -> None:
    training = {int(index.labels[i]) for i, side in sides.items() if side == TRAIN}
    untrained = [repr(name) for label, name in enumerate(index.classes) if label not in training]
    if untrained:
        more = f" and {len(untrained) - _SHOWN} more" if len(untrained) > _SHOWN else ""
        raise DataError(
            f"{index.source} has no usable image to train on of {', '.join(untrained[:_SHOWN])}{more}",
            hint="add images that are not copies of others",
        )
    missing = [side for side in (VALIDATION, TEST) if side not in sides.values()]
    if missing:
        raise DataError(
            f"{index.source} has too few images: none came to be for {' and '.join(missing)}",
            hint="add images, or say yourself which are for testing (folders train/, val/ and test/)",
        )
