"""Several classifiers as one: the mean of their probabilities.

Probabilities are averaged, not logits: each is taken at its own network's temperature, so that networks whose logits
are of other sizes count alike, and the mean is again a distribution over the classes. The same mean joins the copies of
one image. It is taken of logarithms, which lose nothing where a probability is below the least number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final, overload

import numpy as np
from torch import Tensor

from striate.core.errors import DataError, PlanError
from striate.data.image_index import LABEL
from striate.data.index import scan
from striate.data.labels import output_of
from striate.data.transforms import ImageLike
from striate.tasks.probabilities import log_mean

_BATCH = 32
"""Images that are in memory at a time."""
Prediction = dict[str, Any]
"""``label`` and ``probability`` of one class."""


class Predictor(ABC):
    """What knows classes and gives probabilities: a classifier, or several as one.

    Args:
        classes: Names in the order of the outputs.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    @abstractmethod
    def log_probabilities(self, images: Sequence[ImageLike] | np.ndarray) -> np.ndarray:
        """Calibrated log-probabilities, float64 ``[n, classes]``.

        Raises:
            ImageError: One of them cannot be read; the message names it.
        """

    @abstractmethod
    def place(self, name: str) -> int | None:
        """The output that a class's name means; None where no output does."""

    def predict_proba(self, images: Sequence[ImageLike] | np.ndarray) -> np.ndarray:
        """Calibrated probabilities in the order of `classes`.

        Args:
            images: Each a path, encoded bytes, an array, a tensor or a PIL image, as `predict` takes one; or one array
                or tensor of all of them, ``[n, h, w]``, ``[n, h, w, 3]`` or, as a tensor, ``[n, c, h, w]``.

        Returns:
            float64 ``[n, classes]``.

        Raises:
            ImageError: As `log_probabilities`.
        """
        return np.exp(self.log_probabilities(images)) if len(images) else np.empty((0, len(self.classes)))

    @overload
    def predict(self, images: ImageLike, top: int = 5) -> list[Prediction]: ...

    @overload
    def predict(self, images: list[Any] | tuple[Any, ...], top: int = 5) -> list[list[Prediction]]: ...

    def predict(self, images: Any, top: int = 5) -> list[Prediction] | list[list[Prediction]]:
        """The most probable classes of one image or of several.

        Args:
            images: One image: a path, encoded bytes, a PIL image, an array ``[h, w]``, ``[h, w, 1]`` or ``[h, w, 3]``,
                or a tensor ``[c, h, w]``. Arrays and tensors hold uint8 values, or floating-point values from 0 to 1.
                Several images: a list or tuple of these, or an array or a tensor with one more axis in front.
            top: The largest number of classes for each image.

        Returns:
            For one image a list of ``{"label": ..., "probability": ...}``, the most probable class first; for several
            images a list of such lists.

        Raises:
            ImageError: An image cannot be read; the message names it.
        """
        many = isinstance(images, list | tuple) or (isinstance(images, np.ndarray | Tensor) and images.ndim == 4)
        asked: Any = images if many else [images]
        found = [self.best(row, top) for row in self.predict_proba(asked)]
        return found if many else found[0]

    @overload
    def score(self, images: str | Path) -> float: ...

    @overload
    def score(self, images: Sequence[ImageLike] | np.ndarray, labels: Sequence[Any] | np.ndarray) -> float: ...

    def score(self, images: Any, labels: Any = None) -> float:
        """Accuracy on labelled images, from 0 to 1.

        `striate.evaluate` also gives intervals, the confusion matrix and the calibration.

        Args:
            images: As `predict_proba` takes them. Without `labels`, a dataset: a folder, manifest or archive, or the
                name of a standard set; its test split counts where it names one, and otherwise every image.
            labels: For each image the name of its class or its place in `classes`.

        Raises:
            DataError: A label is not among the classes, or there is no image.
            ImageError: An image cannot be read.
        """
        if labels is None:
            return self._score_dataset(images)
        if len(labels) != len(images):
            raise DataError(f"{len(images)} images came with {len(labels)} labels")
        truth = np.array([self._place_of(label) for label in labels])
        if not len(truth):
            raise DataError("there is no image to score")
        return float((self.predict_proba(images).argmax(axis=1) == truth).mean())

    def _score_dataset(self, data: Any) -> float:
        if not isinstance(data, str | Path):
            raise DataError("a list of images needs labels", hint="give score(images, labels) or score('folder')")
        index = scan(data)
        names = index.annotation(LABEL)
        splits = index.splits or ()
        places = [p for p in range(len(index)) if "test" not in splits or splits[p] == "test"]
        truth = {name: self._place_of(name) for name in {names[p] for p in places}}
        correct = 0
        for start in range(0, len(places), _BATCH):
            part = places[start : start + _BATCH]
            predicted = self.log_probabilities([index.read(p) for p in part]).argmax(axis=1)
            correct += sum(int(found) == truth[names[p]] for found, p in zip(predicted, part, strict=True))
        return correct / len(places)

    def best(self, row: np.ndarray, top: int) -> list[Prediction]:
        """The `top` most probable classes by one image's probabilities ``[classes]``, the most probable first."""
        order = np.argsort(-row, kind="stable")[:top]
        return [{"label": self.classes[i], "probability": float(row[i])} for i in order]

    def _place_of(self, label: Any) -> int:
        place = self.place(label) if isinstance(label, str) else int(label)
        if place is None or not 0 <= place < len(self.classes):
            shown = ", ".join(map(repr, self.classes[:5]))
            raise DataError(
                f"{label!r} is not a class of this model", hint=f"it knows {len(self.classes)} classes: {shown}, ..."
            )
        return place


@final
class Ensemble(Predictor):
    """Classifiers of the same classes, in any order and of any architecture; the first one's order holds.

    Args:
        members: At least one.

    Raises:
        PlanError: They do not know the same classes.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        if not members:
            raise ValueError("an ensemble has at least one member")
        super().__init__(members[0].classes)
        self.members = tuple(members)
        self._orders = [self._order(number, member) for number, member in enumerate(members, start=1)]

    def log_probabilities(self, images: Sequence[ImageLike] | np.ndarray) -> np.ndarray:
        """The logarithm of the mean of the members' probabilities, float64 ``[n, classes]``.

        Raises:
            ImageError: One of them cannot be read; the message names it.
        """
        return self.join([member.log_probabilities(images) for member in self.members])

    def place(self, name: str) -> int | None:
        """The output that a class's name means to the first member."""
        return self.members[0].place(name)

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The log-probabilities that the members' come to.

        Args:
            parts: Those of each member, ``[n, classes]``, its outputs in its own order.
        """
        own = self.arrange(parts)
        return log_mean(np.stack(own).astype(np.float64), [1 / len(own)] * len(own))

    def arrange(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the members gave, ``[..., classes]``, each in the first one's order of classes."""
        return [part[..., order] for part, order in zip(parts, self._orders, strict=True)]

    def _order(self, number: int, member: Predictor) -> np.ndarray:
        if member.classes == self.classes:
            return np.arange(len(self.classes))
        found = [output_of(name, member.place) for name in self.classes]
        missing = [repr(name) for name, place in zip(self.classes, found, strict=True) if place is None]
        if missing or len(member.classes) != len(self.classes) or len(set(found)) < len(found):
            why = f"it does not know {', '.join(missing[:5])}" if missing else f"it knows {len(member.classes)}"
            raise PlanError(
                f"model {number} does not tell apart the {len(self.classes)} classes that the first one does: {why}",
                hint="an ensemble is made of models of the same classes",
            )
        return np.array(found, dtype=np.int64)
