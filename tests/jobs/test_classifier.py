"""A trained classifier in Python: one image or many, probabilities, accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import striate
from striate.core.errors import DataError, ImageError

DIGITS = (load_digits().images * 255 / 16).astype(np.uint8)
LABELS = load_digits().target


@pytest.fixture(scope="module")
def classifier() -> striate.TrainedClassifier:
    return striate.load("lenet5:mnist")


def test_one_image_gives_its_predictions_and_a_list_gives_a_list(classifier: striate.TrainedClassifier) -> None:
    single = [classifier.predict(each, top=3) for each in DIGITS[:4]]
    assert [len(each) for each in single] == [3, 3, 3, 3]
    together = classifier.predict(list(DIGITS[:4]), top=3)
    for one, other in zip(single, together, strict=True):
        assert [row["label"] for row in one] == [row["label"] for row in other]
        assert [row["probability"] for row in one] == pytest.approx([row["probability"] for row in other], rel=1e-4)
    colour = np.repeat(DIGITS[:4, :, :, None], 3, axis=3)
    assert [rows[0]["label"] for rows in classifier.predict(colour)] == [rows[0]["label"] for rows in together]
    assert classifier.predict([]) == []
    assert classifier.predict(Image.fromarray(DIGITS[0])) == classifier.predict(DIGITS[0])


def test_probabilities_are_in_the_order_of_the_classes(classifier: striate.TrainedClassifier) -> None:
    p = classifier.predict_proba(DIGITS[:70])  # more than one batch
    assert p.dtype == np.float64
    assert p.shape == (70, 10)
    assert p.sum(axis=1) == pytest.approx(np.ones(70))
    best = classifier.predict(DIGITS[3])[0]
    assert best["label"] == classifier.classes[p[3].argmax()]
    assert classifier.predict_proba([]).shape == (0, 10)


def test_score_is_the_accuracy(classifier: striate.TrainedClassifier, tmp_path: Path) -> None:
    images, labels = DIGITS[:100], LABELS[:100]
    found = classifier.score(images, labels)
    assert found == np.mean(classifier.predict_proba(images).argmax(axis=1) == labels)
    assert found > 0.5
    assert classifier.score(images, [str(each) for each in labels]) == found
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "digits" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{place}.png")
    assert classifier.score(tmp_path / "digits") == found
    assert striate.ensemble(["lenet5:mnist"]).score(str(tmp_path / "digits")) == found
    assert classifier.score("digits") == pytest.approx(classifier.score(DIGITS, LABELS), abs=0.02)  # other rounding


def test_labels_and_images_that_cannot_be_scored_are_named(classifier: striate.TrainedClassifier) -> None:
    with pytest.raises(DataError, match="'ten' is not a class of this model; it knows 10 classes: '0', '1'"):
        classifier.score(DIGITS[:1], ["ten"])
    with pytest.raises(DataError, match="-1 is not a class"):
        classifier.score(DIGITS[:1], [-1])
    with pytest.raises(DataError, match="2 images came with 1 labels"):
        classifier.score(DIGITS[:2], [1])
    with pytest.raises(DataError, match="a list of images needs labels"):
        classifier.score(list(DIGITS[:2]))
    with pytest.raises(DataError, match="no image to score"):
        classifier.score([], [])
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        classifier.predict(["nowhere.png"])
