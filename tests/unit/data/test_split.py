from __future__ import annotations

import hashlib

import numpy as np
import pytest

from striate.core.errors import DataError
from striate.data.column import CategoryColumn
from striate.data.image_index import ImageIndex
from striate.data.split import Strata, split
from striate.data.stores import ArrayStore


def made(labels: list[int], splits: tuple[str, ...] | None = None) -> tuple[ImageIndex, list[str], Strata]:
    column = CategoryColumn(("cat", "dog", "eel")[: max(labels) + 1], np.array(labels))
    index = ImageIndex(
        source="pets",
        kind="folder",
        names=[f"{i}.png" for i in range(len(labels))],
        annotations={"label": column},
        splits=splits,
        store=ArrayStore([np.zeros((len(labels), 1, 1), np.uint8)], "made:0"),
    )
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(len(labels))]
    return index, digests, Strata(column.codes, column.values)


def test_a_class_with_one_usable_image_is_refused() -> None:
    index, digests, strata = made([0] * 30 + [1] * 30 + [2] * 2)
    with pytest.raises(DataError, match=r"fewer than 2 usable images: 'eel' \(1\)"):
        split(index, digests, seed=0, strata=strata, exclude={61})


@pytest.mark.parametrize("seed", range(12))
def test_a_class_of_two_has_one_to_train_on(seed: int) -> None:
    index, digests, strata = made([0] * 60 + [1] * 60 + [2] * 2)
    parts = split(index, digests, seed=seed, strata=strata)
    assert 2 in strata.numbers[parts.train]


def test_a_class_that_is_named_for_testing_only_is_refused() -> None:
    named = ("train", "train", "validation", "test", "test", "test", "validation")
    index, digests, strata = made([0, 0, 0, 1, 1, 0, 1], named)
    with pytest.raises(DataError, match="no usable training image of 'dog'"):
        split(index, digests, seed=0, strata=strata)


def test_too_few_images_for_three_parts() -> None:
    index, digests, strata = made([0, 0, 1, 1])
    with pytest.raises(DataError, match=r"too few images: the .* set is empty"):
        for seed in range(20):
            split(index, digests, seed=seed, strata=strata)


def test_per_class_leaves_named_sides_alone() -> None:
    names = ("train",) * 20 + ("validation",) * 10 + ("test",) * 10
    index, digests, strata = made([0, 1] * 20, names)
    parts = split(index, digests, seed=0, strata=strata, per_class=4)
    assert (parts.train < 20).all()
    assert ((parts.validation >= 20) & (parts.validation < 30)).all()
    assert [len(parts.train), len(parts.validation), len(parts.test), len(parts.unused)] == [6, 2, 10, 22]


def test_a_contradiction_does_not_train_and_validate() -> None:
    index, digests, strata = made([0] * 40 + [1] * 40)
    digests = digests[:40] + digests[20:60]  # half of the images stand under both classes, at other ranks
    for per_class in range(3, 30):
        parts = split(index, digests, seed=0, strata=strata, per_class=per_class)
        assert not {digests[i] for i in parts.train} & {digests[i] for i in parts.validation}
