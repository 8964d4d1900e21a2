"""A trained model on disk, and in use: weights, and in words everything that they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

import striate
from striate.core.atomic import replacing
from striate.core.device import pick
from striate.core.errors import CheckpointError, PictureError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.models import REGISTRY, ImageModel
from striate.records import io
from striate.tasks.classify.metrics import log_softmax
from striate.tasks.classify.network import Classifier
from striate.weights import open_model, read_state, save_state
from striate.weights.labels import LabelSet

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "model.json"
LAST, SNAPSHOTS = "last.safetensors", "snapshots"
"""Further weights of a training run: the last ones where a better epoch's are the result, and those of each cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What ``model.json`` holds: enough to rebuild the model and its input without the data.

    Args:
        network: Name in the registry.
        options: Fields of its spec that differ from the registry's.
        point: The feature point above which the network was cut off; None for the whole network.
        classes: Names in the order of the outputs.
        preprocess: What must be done to a picture.
        temperature: What logits are divided by before probabilities are taken.
        start: Where the starting weights came from: ``weights``, ``sha256``, ``licence``, or ``random``.
        striate: Version that wrote it.
        format: Of this file.
    """

    network: str
    options: dict[str, Any]
    point: str | None
    classes: tuple[str, ...]
    preprocess: Preprocess
    temperature: float
    start: dict[str, str]
    striate: str = striate.__version__
    format: int = FORMAT


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


def save(folder: Path, model: ImageModel, card: ModelCard) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder, each whole or not at all."""
    save_weights(folder / WEIGHTS, model)
    io.write(folder / CARD, card)


def save_weights(path: Path, model: ImageModel) -> None:
    """Write a network's weights, whole or not at all; auxiliary heads, which are of use in training alone, stay out."""
    words = {"striate": striate.__version__}  # one only: safetensors writes several in any order
    save_state(model, path, without="aux.", metadata=words)


def is_model_folder(text: str) -> bool:
    """Whether `text` names a folder that holds a trained model."""
    return (Path(text) / CARD).is_file()


def load(text: str | Path, *, device: str | None = None) -> TrainedClassifier:
    """A run folder, or a published model ``NAME[:WEIGHTS]``, ready to use.

    Args:
        text: The folder of a run, or the name.
        device: As `core.device.pick` takes it; None is the processor.

    Raises:
        CheckpointError: The folder holds no trained model, or a damaged one.
        UnknownModelError: Neither a folder nor a network has that name.
    """
    where = pick(device or "cpu")
    folder = Path(text)
    if folder.is_dir():
        if not is_model_folder(str(text)):
            hint = "the run may be unfinished: the command that began it goes on with it"
            raise CheckpointError(f"{folder} holds no trained model (no model.json)", hint=hint)
        card = read_card(folder)
        model = rebuild(card)
        _fill(model, folder / WEIGHTS)
        network = Classifier(model, card.preprocess)
        return TrainedClassifier(network, card.preprocess, card.classes, temperature=card.temperature, device=where)
    opened = open_model(str(text))
    if opened.labels is None:
        hint = "fit a head first: striate fit DATA --backbone " + str(text)
        raise CheckpointError(f"nothing is known of what the outputs of {text} mean", hint=hint)
    network = Classifier(opened.model, opened.preprocess)
    return TrainedClassifier(network, opened.preprocess, opened.labels.names, labels=opened.labels, device=where)


def read_card(folder: Path) -> ModelCard:
    """The ``model.json`` of a run.

    Raises:
        CheckpointError: It is not one.
    """
    path = folder / CARD
    try:
        found = io.read(path)
        if isinstance(found, dict) and found.get("format") != FORMAT:
            raise CheckpointError(
                f"{path} has format {found.get('format')!r}, and this version of striate reads format {FORMAT}",
                hint="use the version that wrote it, or fit the model again",
            )
        return io.from_json(ModelCard, found)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint="fit the model again") from error


def rebuild(card: ModelCard) -> ImageModel:
    """The network of a card, with random weights and without auxiliary heads, which are of use in training alone.

    Raises:
        CheckpointError: The network cannot be built as the card says.
        UnknownModelError: There is no such network, or it has no such feature point.
    """
    entry = REGISTRY.get(card.network)
    classes, channels = len(card.classes), card.preprocess.in_channels
    try:
        own = classes if card.point is None else None
        model = entry.classifier(classes=own, in_channels=channels, options=card.options)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{card.network} cannot be built with the options {card.options}: {error}") from error
    if card.point is not None:
        model.truncate(card.point, classes)
    model.aux.clear()
    return model


def _fill(model: ImageModel, path: Path) -> None:
    state = read_state(path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit the network in model.json: {reason}") from error


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
