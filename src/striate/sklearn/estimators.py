"""The two estimators."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self, final

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from striate.core.events import NoProgress
from striate.jobs.features import of_data
from striate.sklearn.inputs import as_pixels, is_numeric, single_images, to_squares
from striate.tasks.classify.probe import cross_validate, train_linear
from striate.weights import Opened, open_model
from striate.weights.create import warn_of_others

DEFAULT_BACKBONE = "resnet20_cifar:cifar10"
"""Comes with the package, so that nothing is downloaded unless a larger backbone is named."""


@lru_cache(maxsize=2)
def _opened(backbone: str) -> Opened:
    """The network, loaded once for all folds of a cross-validation."""
    opened = open_model(backbone)
    warn_of_others(opened)
    return opened


class _OverImages(BaseEstimator):
    """What both estimators share: X in any form becomes features."""

    backbone: str
    stage: str | None
    batch: int
    device: str | None

    def _fit_input(self, X: Any) -> None:
        """Learn the range of the numbers in X, which becomes 0 to 255."""
        if not is_numeric(X):
            self.value_range_ = None
            return
        array = self._numbers(X, reset=True)
        whole = array.dtype == np.uint8
        self.value_range_ = (0.0, 255.0) if whole else (float(array.min()), float(array.max()))

    def _extract(self, images: list[Any]) -> np.ndarray:
        """Features of single images, float32 ``[n, channels]``."""
        opened = _opened(self.backbone)
        found = of_data(
            opened.model,
            opened.preprocess,
            images,
            stage=self.stage,
            device=self.device,
            engine="torch",
            batch=self.batch,
            progress=NoProgress(),
        )
        if found.unreadable:
            name, reason = next(iter(found.unreadable.items()))
            raise ValueError(f"{len(found.unreadable)} images cannot be read, the first is {name}: {reason}")
        return found.values

    def _images(self, X: Any) -> list[Any]:
        """X as a list of single images."""
        if not is_numeric(X):
            return single_images(X)
        array = self._numbers(X, reset=False)
        low, high = self.value_range_ or (0.0, 255.0)
        pixels = array if array.dtype == np.uint8 else as_pixels(array, low, high)
        return list(to_squares(pixels) if pixels.ndim == 2 else pixels)

    def _numbers(self, X: Any, *, reset: bool) -> np.ndarray:
        many = getattr(X, "ndim", 2) > 2
        found = validate_data(self, X, reset=reset, dtype="numeric", allow_nd=many, ensure_2d=not many)
        return np.asarray(found)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        return tags


@final
class ImageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _OverImages):
    """Pooled features of a pretrained network.

    X is a list (or one-dimensional array) of single images: paths, encoded bytes, uint8 arrays or PIL images. It can
    also be numbers: all images in one array ``[n, h, w]`` or ``[n, h, w, 3]``, or flattened images ``[n, values]`` as
    scikit-learn's datasets have them. A row of 3 s^2 values is a colour image; any other row fills the smallest
    square, row by row. uint8 values are pixels; other numbers are scaled so that the smallest and the largest value
    of the training data become 0 and 255.

    Args:
        backbone: ``NAME:WEIGHTS``, or the folder of a run.
        stage: A stage of the network, or ``head.PART`` for a hidden layer of its head; None takes the last.
        batch: Batch size.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; None is the CPU.

    Attributes:
        value_range_: What becomes 0 and 255; None for lists of single images.
        n_features_in_: Values of a flattened image, or the height of images in one array.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> ImageFeatures(backbone="lenet5:mnist").fit_transform(load_digits().data[:5]).shape
        (5, 84)
    """

    def __init__(
        self,
        backbone: str = DEFAULT_BACKBONE,
        stage: str | None = None,
        *,
        batch: int = 32,
        device: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.stage = stage
        self.batch = batch
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X, and learn the range of its numbers; the network is not trained.

        Args:
            X: Images in any of the forms of the class.
            y: Ignored.
        """
        self._fit_input(X)
        self._n_features_out = self._extract(self._images(X)[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Extract the features of X.

        Args:
            X: Images in any of the forms of the class.

        Returns:
            float32 ``[n, channels]``.
        """
        check_is_fitted(self, "value_range_")
        return self._extract(self._images(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = []  # features are float32 whatever X holds
        return tags


@final
class ImageClassifier(ClassifierMixin, _OverImages):
    """Logistic regression on the features of a frozen pretrained network.

    `striate.fit` also fine-tunes, chooses the stage, and evaluates; this is its linear part as an estimator.

    Args:
        backbone: ``NAME:WEIGHTS``, or the folder of a run.
        stage: A stage of the network, or ``head.PART`` for a hidden layer of its head; None takes the last.
        C: Inverse of the regularisation strength, as in scikit-learn's LogisticRegression, on standardised features;
            None chooses it by cross-validation.
        batch: Batch size.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; None is the CPU.
        random_state: Random seed of the cross-validation.

    Attributes:
        classes_: The labels, sorted.
        C_: The inverse regularisation strength that was used.
        coef_: float64 ``[channels, classes]``, of raw features.
        intercept_: float64 ``[classes]``.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> model = ImageClassifier(backbone="lenet5:mnist", C=0.01).fit(X[:300], y[:300])
        >>> model.score(X[300:400], y[300:400]) > 0.9
        True
    """

    def __init__(
        self,
        backbone: str = DEFAULT_BACKBONE,
        stage: str | None = None,
        *,
        C: float | None = 1.0,
        batch: int = 32,
        device: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.backbone = backbone
        self.stage = stage
        self.C = C
        self.batch = batch
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Extract features, and fit the logistic regression.

        Args:
            X: Images in any of the forms of `ImageFeatures`.
            y: A label for each.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if self.C is not None and self.C <= 0:
            raise ValueError(f"C must be above 0, or None to choose it by cross-validation; got {self.C}")
        self._fit_input(X)
        images, labels = self._images(X), column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(images, labels)
        self.classes_, places = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"at least 2 classes are needed, but the data holds one class: {self.classes_[0]!r}")
        x, places = torch.from_numpy(self._extract(images)), places.astype(np.int64)
        chosen = self.C
        if chosen is None:
            chosen = cross_validate(x, places, len(self.classes_), seed=self.random_state).C
        linear = train_linear(x, places, len(self.classes_), chosen)
        self.C_, self.coef_, self.intercept_ = (
            float(chosen),
            linear.weight.double().numpy(),
            linear.bias.double().numpy(),
        )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities in the order of `classes_`.

        Args:
            X: Images in any of the forms of `ImageFeatures`.

        Returns:
            float64 ``[n, classes]``.
        """
        check_is_fitted(self, "coef_")
        logits = self._extract(self._images(X)).astype(np.float64) @ self.coef_ + self.intercept_
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each image.

        Args:
            X: Images in any of the forms of `ImageFeatures`.
        """
        check_is_fitted(self, "coef_")
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
