"""Reproducible training, validation and test sets that do not change when images are added.

The set of an image is decided by a threshold on a hash of its content (or of its group's name) and the seed: 60 %
training, 20 % validation, 20 % test. Exact duplicates therefore always land in the same set (near copies have other
hashes), and adding or removing other images moves none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from striate.core import seed as keyed
from striate.core.errors import DataError
from striate.data.image_index import ImageIndex
from striate.data.split_names import TEST, TRAIN, VALIDATION

TRAIN_SHARE = 0.6
VALIDATION_SHARE = 0.2

_UNUSED = "unused"
_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """Groups of images whose proportions a split keeps, such as classes.

    Args:
        numbers: The stratum of each image, int64 ``[n]``.
        names: Of the strata, for messages.
    """

    numbers: np.ndarray
    names: tuple[str, ...]

    @property
    def single(self) -> bool:
        """Whether all images are one stratum."""
        return len(self.names) == 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Positions in the index, int64 and ascending; no position is in two sets.

    Args:
        train: The training set.
        validation: The validation set, by which models are chosen.
        test: The test set, evaluated once.
        unused: Readable images that are left out: beyond `per_class`, or duplicates of an image in another set.
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
    strata: Strata | None = None,
    per_class: int | None = None,
    exclude: Collection[int] = (),
) -> Splits:
    """Split the images into training, validation and test sets.

    Splits that the source names are kept; if it names training and test only, a quarter of the training images becomes
    the validation set. There are two exceptions to "adding images moves none": if a stratum has no training image, its
    image with the lowest hash (with its duplicates or group) moves to the training set, from the validation set if
    possible, otherwise from a drawn test set; and `per_class` takes the lowest hashes among the images that are there.

    Args:
        index: The images.
        digests: Of their content; an image with "" is excluded.
        seed: Random seed of the split.
        strata: The classes, each of which needs training images; None treats all images as one stratum.
        per_class: Images of each stratum for training and validation together, at least 2: three quarters (rounded up)
            for training, at least one for validation. If the source names both sets, or has groups, images keep their
            set. A stratum with fewer images keeps them all. None uses all images. The test set is the same either way.
        exclude: Positions that cannot be used, such as unreadable images.

    Raises:
        DataError: A stratum has fewer than two usable images or no training image, or a set is empty.
    """
    excluded = set(exclude)
    usable = [i for i in range(len(index)) if digests[i] and i not in excluded]
    strata = strata or Strata(np.zeros(len(index), dtype=np.int64), ("",))
    _refuse_small(index, strata, usable)
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
    _fill_training(strata, sides, units, seed, movable={VALIDATION, TEST} - named)
    if index.groups is not None:
        _separate_copies(
            sides, digests, [side for side in (TRAIN, VALIDATION, TEST) if side == TRAIN or side not in named]
        )
    if per_class is not None:
        fixed = index.groups is not None or VALIDATION in named
        _limit(strata, sides, digests, seed, per_class, fixed=fixed)
    _refuse_empty(index, strata, sides)
    return Splits(**{side: _positions(sides, side) for side in (TRAIN, VALIDATION, TEST, _UNUSED)})


def _positions(sides: dict[int, str], wanted: str) -> np.ndarray:
    return np.array(sorted(i for i, side in sides.items() if side == wanted), dtype=np.int64)


def _units(index: ImageIndex, digests: Sequence[str]) -> Sequence[str]:
    """What is drawn together: the group if there is one, else the content."""
    if index.groups is None:
        return digests
    return [f"group:{group}" if group else digests[i] for i, group in enumerate(index.groups)]


def _drawn(unit: str, seed: int) -> str:
    place = keyed.unit_interval(seed, "split", unit)
    if place < TRAIN_SHARE:
        return TRAIN
    return VALIDATION if place < TRAIN_SHARE + VALIDATION_SHARE else TEST


def _refuse_small(index: ImageIndex, strata: Strata, usable: Sequence[int]) -> None:
    counts = np.bincount(strata.numbers[usable], minlength=len(strata.names))
    if strata.single and counts[0] < 2:
        raise DataError(f"{index.source} has fewer than 2 usable images", hint="add images")
    small = [f"{name!r} ({n})" for name, n in zip(strata.names, counts, strict=True) if n < 2]
    if small:
        more = f" and {len(small) - _SHOWN} more" if len(small) > _SHOWN else ""
        raise DataError(
            f"{index.source} has classes with fewer than 2 usable images: {', '.join(small[:_SHOWN])}{more}",
            hint="add images to them, or remove them",
        )


def _fill_training(
    strata: Strata, sides: dict[int, str], units: Sequence[str], seed: int, *, movable: Collection[str]
) -> None:
    """Give every stratum a training image."""
    numbers = strata.numbers
    training = {int(numbers[i]) for i, side in sides.items() if side == TRAIN}
    for stratum in range(len(strata.names)):
        if stratum in training:
            continue
        mine = [i for i, side in sides.items() if numbers[i] == stratum and side in movable]
        if not mine:
            continue  # _refuse_empty reports it
        lowest = min(mine, key=lambda i: (sides[i] == TEST, keyed.unit_interval(seed, "split", units[i])))
        for i in sides:
            if units[i] == units[lowest] and sides[i] in movable:
                sides[i] = TRAIN
                training.add(int(numbers[i]))


def _separate_copies(sides: dict[int, str], digests: Sequence[str], drawn: Sequence[str]) -> None:
    """If groups put duplicates of an image into several of the drawn sets, keep only those in the last set."""
    last: dict[str, int] = {}
    for i, side in sides.items():
        if side in drawn:
            last[digests[i]] = max(last.get(digests[i], 0), drawn.index(side))
    for i, side in sides.items():
        if side in drawn and drawn.index(side) < last[digests[i]]:
            sides[i] = _UNUSED


def _limit(
    strata: Strata, sides: dict[int, str], digests: Sequence[str], seed: int, per_class: int, *, fixed: bool
) -> None:
    """Keep `per_class` distinct images of each stratum for training and validation; the others are unused."""
    pools: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, side in sides.items():
        if side in (TRAIN, VALIDATION):
            pools[int(strata.numbers[i])][digests[i]].append(i)
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
    """Three quarters, rounded up; of two or more, at least one is left for validation."""
    return max(1, min(-(-3 * total // 4), total - 1))


def _keep(sides: dict[int, str], contents: Sequence[Sequence[int]], side: str, count: int) -> None:
    """Put the first duplicate of each of the first `count` contents into the set `side`; the others are unused."""
    for place, copies in enumerate(contents):
        for i in copies:
            sides[i] = _UNUSED
        if place < count:
            sides[copies[0]] = side


def _clear_contradictions(sides: dict[int, str], digests: Sequence[str]) -> None:
    """Remove from the validation set what also is a training image, as an image with two labels may be."""
    training = {digests[i] for i, side in sides.items() if side == TRAIN}
    for i, side in sides.items():
        if side == VALIDATION and digests[i] in training:
            sides[i] = _UNUSED


def _refuse_empty(index: ImageIndex, strata: Strata, sides: dict[int, str]) -> None:
    training = {int(strata.numbers[i]) for i, side in sides.items() if side == TRAIN}
    untrained = [repr(name) for stratum, name in enumerate(strata.names) if stratum not in training]
    if untrained and strata.single:
        raise DataError(f"{index.source} has no usable training image", hint="add training images")
    if untrained:
        more = f" and {len(untrained) - _SHOWN} more" if len(untrained) > _SHOWN else ""
        raise DataError(
            f"{index.source} has no usable training image of {', '.join(untrained[:_SHOWN])}{more}",
            hint="add images that are not duplicates of others",
        )
    missing = [side for side in (VALIDATION, TEST) if side not in sides.values()]
    if missing:
        raise DataError(
            f"{index.source} has too few images: the {' and '.join(missing)} set is empty",
            hint="add images, or make the split yourself (folders train/, val/ and test/)",
        )
