"""Properties of the split into training, validation and test sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.core.errors import DataError
from striate.data.column import CategoryColumn
from striate.data.image_index import ImageIndex
from striate.data.split import Splits, Strata, split
from striate.data.stores import ArrayStore


def made(labels: Sequence[int], splits: Sequence[str] | None = None, groups: Sequence[str] | None = None) -> ImageIndex:
    return ImageIndex(
        source="made",
        kind="folder",
        names=[f"{i}.png" for i in range(len(labels))],
        annotations={"label": CategoryColumn("abcdefghij"[: max(labels) + 1], np.array(labels))},
        splits=None if splits is None else tuple(splits),
        groups=None if groups is None else tuple(groups),
        store=ArrayStore([np.zeros((len(labels), 1, 1), np.uint8)], "made:0"),
    )


def hashes(contents: Sequence[int]) -> list[str]:
    return [hashlib.sha256(str(content).encode()).hexdigest() for content in contents]


def split_of(splits: Splits) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in ("train", "validation", "test", "unused"):
        part = getattr(splits, name)
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        for i in part.tolist():
            assert i not in found
            found[i] = name
    return found


def by_class(index: ImageIndex, digests: Sequence[str], **options) -> Splits:
    column = index.annotation("label")
    assert isinstance(column, CategoryColumn)
    return split(index, digests, strata=Strata(column.codes, column.values), **options)


def attempt(index: ImageIndex, digests: Sequence[str], seed: int, **options) -> dict[int, str]:
    """The split of every image. A data set for which the split is an error is skipped."""
    try:
        return split_of(by_class(index, digests, seed=seed, **options))
    except DataError:
        assume(False)
        raise


# Content and label of each image. Contents repeat, and the same content may have two labels.
images = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), min_size=20, max_size=80)
seeds = st.integers(0, 5)


@settings(max_examples=150, deadline=None)
@given(images, seeds, st.sets(st.integers(0, 19), max_size=5))
def test_splits_cover_exactly_the_usable_images(rows, seed: int, exclude: set[int]) -> None:
    labels = [label for _, label in rows]
    digests = hashes([content for content, _ in rows])
    digests[7] = ""
    index = made(labels)
    found = attempt(index, digests, seed, exclude=exclude)
    assert set(found) == set(range(len(rows))) - exclude - {7}
    assert found == split_of(by_class(index, digests, seed=seed, exclude=exclude))
    trained = {labels[i] for i, side in found.items() if side == "train"}
    assert trained == set(range(max(labels) + 1))


@settings(max_examples=150, deadline=None)
@given(images, seeds)
def test_duplicates_are_in_the_same_split(rows, seed: int) -> None:
    digests = hashes([content for content, _ in rows])
    found = attempt(made([label for _, label in rows]), digests, seed)
    for content in set(digests):
        assert len({side for i, side in found.items() if digests[i] == content}) == 1


@settings(max_examples=150, deadline=None)
@given(images, images, seeds)
def test_adding_images_does_not_move_others(rows, more, seed: int) -> None:
    enough = [(1000 + i, label) for i, label in enumerate([0, 1, 2] * 8)]  # every class has enough training images
    before = attempt(made([y for _, y in enough + rows]), hashes([c for c, _ in enough + rows]), seed)
    every = enough + rows + more
    after = attempt(made([y for _, y in every]), hashes([c for c, _ in every]), seed)
    assert {i: after[i] for i in before} == before


@settings(max_examples=100, deadline=None)
@given(images, seeds, st.integers(0, 79))
def test_split_does_not_depend_on_the_order(rows, seed: int, turn: int) -> None:
    turn %= len(rows)
    turned = rows[turn:] + rows[:turn]
    first = attempt(made([y for _, y in rows]), hashes([c for c, _ in rows]), seed)
    second = attempt(made([y for _, y in turned]), hashes([c for c, _ in turned]), seed)
    assert first == {(i + turn) % len(rows): side for i, side in second.items()}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 2), st.sampled_from(["", *"uvwxyz"])), min_size=20, max_size=80
    ),
    seeds,
)
def test_groups_and_duplicates_stay_together(rows, seed: int) -> None:
    digests = hashes([content for content, _, _ in rows])
    groups = [group for _, _, group in rows]
    found = attempt(made([label for _, label, _ in rows], groups=groups), digests, seed)
    used = {i: side for i, side in found.items() if side != "unused"}
    for group in set(groups) - {""}:
        assert len({side for i, side in used.items() if groups[i] == group}) <= 1
    for content in set(digests):
        assert len({side for i, side in used.items() if digests[i] == content}) <= 1


@settings(max_examples=150, deadline=None)
@given(images, seeds, st.integers(2, 12))
def test_per_class_limits_training_and_validation_images(rows, seed: int, per_class: int) -> None:
    labels = [label for _, label in rows]
    digests = hashes([3 * content + label for content, label in rows])  # no content has two labels
    index = made(labels)
    whole = attempt(index, digests, seed)
    found = attempt(index, digests, seed, per_class=per_class)
    assert {i for i, side in found.items() if side == "test"} == {i for i, side in whole.items() if side == "test"}
    for label in range(max(labels) + 1):
        pool = {digests[i] for i, side in whole.items() if labels[i] == label and side != "test"}
        train = [digests[i] for i, side in found.items() if labels[i] == label and side == "train"]
        validation = [digests[i] for i, side in found.items() if labels[i] == label and side == "validation"]
        wanted = min(per_class, len(pool))
        assert len({*train, *validation}) == len(train) + len(validation) == wanted
        assert len(train) == max(1, min(-(-3 * wanted // 4), wanted - 1))


@settings(max_examples=100, deadline=None)
@given(images, seeds, st.data())
def test_existing_splits_are_kept(rows, seed: int, data) -> None:
    labels = [label for _, label in rows]
    names = data.draw(
        st.lists(st.sampled_from(["train", "validation", "test"]), min_size=len(rows), max_size=len(rows))
    )
    assume(len(set(names)) == 3)
    digests = hashes([content for content, _ in rows])
    assert attempt(made(labels, splits=names), digests, seed) == dict(enumerate(names))
    halves = ["test" if name == "test" else "train" for name in names]
    found = attempt(made(labels, splits=halves), digests, seed)
    assert {i for i, side in found.items() if side == "test"} == {i for i, name in enumerate(halves) if name == "test"}


def test_split_fractions() -> None:
    labels = [i % 10 for i in range(20_000)]
    digests = hashes(range(20_000))
    first = by_class(made(labels), digests, seed=0)
    counts = [len(first.train), len(first.validation), len(first.test)]
    np.testing.assert_allclose(np.array(counts) / 20_000, (0.6, 0.2, 0.2), atol=0.012)
    named = by_class(made(labels, splits=["train"] * 16_000 + ["test"] * 4_000), digests, seed=0)
    np.testing.assert_allclose(len(named.validation) / 16_000, 0.25, atol=0.012)
    other = by_class(made(labels), digests, seed=1)
    assert len(np.intersect1d(first.test, other.test)) < 0.25 * 4_000
