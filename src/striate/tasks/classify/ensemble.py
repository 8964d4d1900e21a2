"""Several classifiers as one: the mean of their probabilities.

Probabilities are averaged, not logits: each is taken at its own network's temperature, so that networks whose logits
are of other sizes count alike, and the mean is again a distribution over the classes. The same mean joins the views of
one image. It is taken of logarithms, which lose nothing where a probability is below the least number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from striate.core.errors import PlanError
from striate.tasks.classify.metrics import log_softmax

ImageLike = str | Path | bytes | np.ndarray
"""A file, encoded bytes, or decoded uint8 ``[h, w]`` or ``[h, w, 3]``."""


def log_mean(log_p: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """The logarithm of the weighted mean of probabilities.

    Args:
        log_p: Log-probabilities, ``[k, n, classes]``.
        weights: Of each of the k; they add up to 1.

    Returns:
        ``[n, classes]``.
    """
    return np.logaddexp.reduce(log_p + np.log(weights)[:, None, None], axis=0)


def log_mean_of_views(logits: np.ndarray, weights: Sequence[float], temperature: float) -> np.ndarray:
    """The log-probabilities that one network's views come to.

    Args:
        logits: ``[k, n, classes]``, a plane a view.
        weights: Of each view; they add up to 1.
        temperature: What logits are divided by.
    """
    return log_mean(np.stack([log_softmax(each / temperature) for each in logits]), weights)


class Predictor(ABC):
    """What knows classes and gives probabilities: a classifier, or several as one.

    Args:
        classes: Names in the order of the outputs.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    @abstractmethod
    def log_probabilities(self, images: Sequence[ImageLike]) -> np.ndarray:
        """Calibrated log-probabilities, float64 ``[n, classes]``.

        Raises:
            ImageError: One of them cannot be read; the message names it.
        """

    @abstractmethod
    def place(self, name: str) -> int | None:
        """The output that a class's name means; None where no output does."""

    def probabilities(self, images: Sequence[ImageLike]) -> np.ndarray:
        """Calibrated probabilities, float64 ``[n, classes]``.

        Raises:
            ImageError: As `log_probabilities`.
        """
        return np.exp(self.log_probabilities(images))

    def predict(self, image: ImageLike, top: int = 5) -> list[dict[str, Any]]:
        """The likeliest classes of one image, likeliest first: ``label`` and ``probability``.

        Args:
            image: As `probabilities` takes it.
            top: At most so many.

        Raises:
            ImageError: It cannot be read.
        """
        row = self.probabilities([image])[0]
        order = np.argsort(-row, kind="stable")[:top]
        return [{"label": self.classes[i], "probability": float(row[i])} for i in order]


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

    def log_probabilities(self, images: Sequence[ImageLike]) -> np.ndarray:
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
        found = [member.place(name) for name in self.classes]
        missing = [repr(name) for name, place in zip(self.classes, found, strict=True) if place is None]
        if missing or len(member.classes) != len(self.classes) or len(set(found)) < len(found):
            why = f"it does not know {', '.join(missing[:5])}" if missing else f"it knows {len(member.classes)}"
            raise PlanError(
                f"model {number} does not tell apart the {len(self.classes)} classes that the first one does: {why}",
                hint="an ensemble is made of models of the same classes",
            )
        return np.array(found, dtype=np.int64)
