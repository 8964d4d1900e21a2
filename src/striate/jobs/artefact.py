"""A trained model in use, and what it said of test pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from striate.core.atomic import replacing
from striate.core.device import pick
from striate.core.errors import CheckpointError, PictureError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.tasks.classify.metrics import log_softmax
from striate.tasks.classify.network import Classifier
from striate.weights import open_model
from striate.weights.labels import LabelSet


@final
class TrainedClassifier:
    """A classifier with its preprocessing and classes: give it files, take names.

    Args:
        network: Decoded pictures to logits.
        preprocess: What must be done to a picture.
        classes: Names in the order of the outputs.
        temperature: What logits are divided by.
        labels: What published outputs mean, where the model is a published one.
        device: Where it runs.
    """

    def __init__(
        self,
        network: Classifier,
        preprocess: Preprocess,
        classes: Sequence[str],
        *,
        temperature: float = 1.0,
        labels: LabelSet | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.preprocess = preprocess
        self.classes = tuple(classes)
        self.temperature = temperature
        self.labels = labels

    def probabilities(self, pictures: Sequence[str | Path | bytes | np.ndarray]) -> np.ndarray:
        """Calibrated probabilities, float64 ``[n, classes]``.

        Args:
            pictures: Files, encoded bytes, or decoded uint8 ``[h, w]`` or ``[h, w, 3]``.

        Raises:
            PictureError: One of them cannot be read; the message names it.
        """
        pixels = np.stack([decode(_raw(each), self.preprocess) for each in pictures])
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(pixels).to(self.device)).float().cpu().numpy()
        return np.exp(log_softmax(logits / self.temperature))

    def predict(self, picture: str | Path | bytes | np.ndarray, top: int = 5) -> list[dict[str, Any]]:
        """The likeliest classes of one picture, likeliest first: ``label`` and ``probability``.

        Args:
            picture: As `probabilities` takes it.
            top: At most so many.

        Raises:
            PictureError: It cannot be read.
        """
        row = self.probabilities([picture])[0]
        order = np.argsort(-row, kind="stable")[:top]
        return [{"label": self.classes[i], "probability": float(row[i])} for i in order]


def _raw(picture: str | Path | bytes | np.ndarray) -> bytes | np.ndarray:
    if isinstance(picture, bytes | np.ndarray):
        return picture
    path = Path(picture)
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"cannot read {path}: {reason}", hint="give the path of a picture file") from error


def load(text: str | Path, *, device: str | None = None) -> TrainedClassifier:
    """A trained or published model, ready to use.

    Args:
        text: The folder of a run, ``NAME[:WEIGHTS]``, or ``hub:OWNER/NAME[@REVISION]``.
        device: As `core.device.pick` takes it; None is the processor.

    Raises:
        CheckpointError: The folder holds no trained model, or a damaged one.
        WeightsNotAtHandError: The files are not here and cannot be fetched.
        UnknownModelError: Neither a folder nor a network has that name.
    """
    where = pick(device or "cpu")
    opened = open_model(str(text))
    if opened.labels is None:
        hint = "fit a head first: striate fit DATA --backbone " + str(text)
        raise CheckpointError(f"nothing is known of what the outputs of {text} mean", hint=hint)
    return TrainedClassifier(
        Classifier(opened.model, opened.preprocess),
        opened.preprocess,
        opened.labels.names,
        temperature=opened.found.card.temperature if opened.found else 1.0,
        labels=None if opened.found else opened.labels,  # of our own models the names alone count
        device=where,
    )


def write_predictions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``predictions.csv``: file, label, prediction, probability."""
    import csv

    with replacing(path, "w") as stream:
        writer = csv.DictWriter(stream, ["file", "label", "prediction", "probability"], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(dict(row) | {"probability": f"{row['probability']:.6f}"})


def as_row(prediction: Any) -> dict[str, Any]:
    """A record as a row of a table."""
    return dataclasses.asdict(prediction)
