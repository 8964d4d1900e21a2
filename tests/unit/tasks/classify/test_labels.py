"""Class labels are read from annotations, and matched to those of a trained model."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import DataError
from striate.data.column import TextColumn
from striate.data.image_index import ImageIndex
from striate.data.labels import numbers
from striate.data.stores import ArrayStore
from striate.tasks.classify.task import Classification


def index(labels: list[str], column: str = "label") -> ImageIndex:
    return ImageIndex(
        source="pets",
        kind="manifest",
        names=[f"{i}.png" for i in range(len(labels))],
        annotations={column: TextColumn(labels)},
        store=ArrayStore([np.zeros((len(labels), 1, 1), np.uint8)], "made:0"),
    )


def test_classes_are_sorted_naturally() -> None:
    task, targets = Classification.read(index(["10", "9", "10"]))
    assert task.classes == ("9", "10")
    assert (targets.dtype, targets.tolist()) == (np.int64, [1, 0, 1])


def test_labels_are_matched_to_the_classes_of_a_model() -> None:
    task = Classification(("cat", "dog", "eel"))
    assert task.targets(index(["eel", "dog", "eel"])).tolist() == [2, 1, 2]
    with pytest.raises(DataError, match=r"does not know the class 'fox'.*it knows 'cat', 'dog', 'eel'"):
        task.targets(index(["fox", "dog"]))
    synsets = {"n1": 2, "n2": 0}
    assert numbers(index(["n1", "n2"]), task.classes, synsets.get).tolist() == [2, 0]
    with pytest.raises(DataError, match="mean the same class of the model"):
        numbers(index(["n1", "n2"]), task.classes, lambda name: 1)


def test_data_without_labels_is_refused() -> None:
    with pytest.raises(DataError, match="no column 'label'; its annotation columns: age"):
        Classification.read(index(["3", "4"], column="age"))
    with pytest.raises(DataError, match=r"1 images without a label: 1\.png"):
        Classification.read(index(["cat", "", "dog"]))
