"""Targets are the same or not, whatever they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.tasks.classify.task import Classification
from striate.tasks.fingerprint import fingerprint


def test_equal_values_are_equal() -> None:
    boxes = np.empty(2, dtype=object)
    boxes[:] = [np.zeros((1, 4)), np.ones((2, 4))]
    again = np.empty(2, dtype=object)
    again[:] = [np.zeros((1, 4)), np.ones((2, 4))]
    assert fingerprint(boxes) == fingerprint(again)
    assert fingerprint({"b": 1, "a": [None, 0.5]}) == fingerprint({"a": [None, 0.5], "b": 1})
    assert fingerprint(torch.arange(3)) == fingerprint(np.arange(3))


def test_other_values_differ() -> None:
    values = [
        np.arange(4),
        np.arange(4).astype(np.int32),
        np.arange(4).reshape(2, 2),
        [0, 1, 2, 3],
        ["0", "1", "2", "3"],
        [[0, 1], [2, 3]],
        [[0], [1, 2, 3]],
        "0123",
        b"0123",
        None,
        0,
        0.0,
    ]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        fingerprint(object())


def test_classes_count_as_well_as_labels() -> None:
    labels = np.array([0, 1, 1])
    one = Classification(("cat", "dog"))
    assert one.fingerprint(labels) == Classification(("cat", "dog")).fingerprint(labels.copy())
    assert one.fingerprint(labels) != Classification(("dog", "cat")).fingerprint(labels)
    assert one.fingerprint(labels) != one.fingerprint(labels[::-1])
