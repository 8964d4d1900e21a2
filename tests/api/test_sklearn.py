"""The scikit-learn estimators: scikit-learn's own checks, and its tools around them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import striate
from striate.sklearn import ImageClassifier, ImageFeatures

X, Y = load_digits(return_X_y=True)
X, Y = X[:240], Y[:240]
LENET = "lenet5:mnist"


@parametrize_with_checks([ImageFeatures(LENET), ImageClassifier(LENET)])
@pytest.mark.filterwarnings("ignore")
def test_passes_the_checks_of_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    """Every check, none is expected to fail."""
    check(estimator)


def forms(folder: Path, count: int) -> dict[str, Any]:
    """The same images in every form that X may have."""
    pixels = (X[:count].reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)
    files = [folder / f"{place}.png" for place in range(count)]
    for file, each in zip(files, pixels, strict=True):
        Image.fromarray(each).save(file)
    return {
        "flattened": pixels.reshape(count, -1),
        "flattened numbers": np.concatenate([X[:count] / 16, [np.arange(64) / 63]])[:count],
        "one array": pixels,
        "colour": np.repeat(pixels[..., None], 3, axis=3),
        "flattened colour": np.repeat(pixels[..., None], 3, axis=3).reshape(count, -1),
        "arrays": list(pixels),
        "paths": files,
        "names": [str(each) for each in files],
        "names in an array": np.array([str(each) for each in files]),
        "bytes": [each.read_bytes() for each in files],
        "PIL": [Image.open(each) for each in files],
    }


def test_every_form_of_the_same_images_gives_the_same_features(tmp_path: Path) -> None:
    found = {name: ImageFeatures(LENET).fit_transform(each) for name, each in forms(tmp_path, 12).items()}
    assert found["paths"].shape == (12, 84)
    for name, each in found.items():
        assert each == pytest.approx(found["paths"], abs=1e-5), name
    again = striate.features(LENET, [str(tmp_path / f"{place}.png") for place in range(12)])
    assert again.values == pytest.approx(found["paths"], abs=1e-5)


def test_in_a_pipeline_and_cross_validation() -> None:
    pipeline = make_pipeline(ImageFeatures(LENET, stage="stage1"), StandardScaler(), LogisticRegression(C=0.1))
    scores = cross_val_score(pipeline, X, Y, cv=3)
    assert scores.mean() > 0.85
    names = pipeline.fit(X, Y)[:1].get_feature_names_out()
    assert names[0] == "imagefeatures0"
    assert len(names) == pipeline[0].transform(X[:2]).shape[1] == 16


def test_in_a_grid_search() -> None:
    search = GridSearchCV(ImageClassifier(LENET), {"C": [1e-4, 0.1], "stage": [None, "stage1"]}, cv=3).fit(X, Y)
    assert search.best_params_["C"] == 0.1
    assert search.best_score_ > 0.85
    best = search.best_estimator_
    again = pickle.loads(pickle.dumps(best))
    assert np.array_equal(again.predict_proba(X[:20]), best.predict_proba(X[:20]))
    assert clone(best).get_params() == best.get_params()


def test_labels_of_any_kind_and_c_by_cross_validation() -> None:
    names = np.array(["even", "odd"])[Y % 2]
    model = ImageClassifier(LENET, C=None).fit(X, names)
    assert list(model.classes_) == ["even", "odd"]
    assert model.C_ in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    assert model.score(X, names) > 0.9
    assert model.predict_proba(X[:3]).sum(axis=1) == pytest.approx(1)


def test_the_default_backbone_comes_with_the_package() -> None:
    model = ImageClassifier().fit(X[:60], Y[:60])
    assert model.coef_.shape == (64, 10)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1 images cannot be read, the first is .*nowhere\.png"):
        ImageFeatures(LENET).fit(X).transform([str(tmp_path / "nowhere.png"), X[0].reshape(8, 8).astype(np.uint8)])
    with pytest.raises(ValueError, match="C must be above 0"):
        ImageClassifier(LENET, C=0).fit(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ImageClassifier(LENET).fit(X, Y[:-1])
    with pytest.raises(striate.UnknownModelError, match="stage9"):
        ImageFeatures(LENET, stage="stage9").fit(X)
