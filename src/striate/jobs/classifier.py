"""A trained model in use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch

from striate.core.device import pick
from striate.core.errors import CheckpointError, ImageError
from striate.core.events import NoProgress, ProgressCallback
from striate.core.preprocess import Preprocess
from striate.core.words import command_line
from striate.data.decode import decode
from striate.data.transforms import ImageLike, ImageTransform, read_image
from striate.data.tta import canvas
from striate.inference.predict import WORTH_COMPILING, ImageList, Outputs, predict_batches
from striate.models.pixels import PixelNetwork
from striate.records.tta import NO_TTA, TTAPolicy, tta_policy
from striate.tasks.ensemble import Ensemble, Predictor
from striate.tasks.probabilities import log_mean_of_views
from striate.weights import open_model
from striate.weights.create import warn_of_others
from striate.weights.labels import LabelSet
from striate.weights.trained import SNAPSHOTS


@final
class TrainedClassifier(Predictor):
    """A classifier with its preprocessing and classes: give it files, take names.

    Args:
        network: Decoded images to logits.
        preprocess: What must be done to an image.
        classes: Names in the order of the outputs.
        temperature: What logits are divided by.
        labels: What published outputs mean, where the model is a published one.
        tta: How often it looks at an image, and how.
        name: What people know it by; empty where it has none.
        folder: Of the run that it comes from; None for others.
        device: Where it runs.

    Raises:
        PlanError: The network cannot look at images in this way.
    """

    def __init__(
        self,
        network: PixelNetwork,
        preprocess: Preprocess,
        classes: Sequence[str],
        *,
        temperature: float = 1.0,
        labels: LabelSet | None = None,
        tta: TTAPolicy = NO_TTA,
        name: str = "",
        folder: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(classes)
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.preprocess = preprocess
        self.temperature = temperature
        self.labels = labels
        self.tta = tta
        self.name = name
        self.folder = folder
        canvas(preprocess, tta)  # refuses views that the network cannot see
        self._places = {each: place for place, each in enumerate(self.classes)}

    @property
    def transforms(self) -> ImageTransform:
        """The preprocessing, as a callable from one image to a normalised tensor ``[channels, height, width]``."""
        return ImageTransform(self.preprocess)

    def outputs(
        self, images: Sequence[ImageLike] | np.ndarray, progress: ProgressCallback, phase: str = "predicting"
    ) -> Outputs:
        """Calibrated log-probabilities of the images that can be read, float64 ``[n, classes]``.

        Test-time augmentation averages the probabilities of the copies. Few images run on the network as it is; many
        run on the fastest engine.

        Args:
            images: As `predict_proba` takes them.
            progress: Receives progress.
            phase: What progress shows as the current work.
        """
        return predict_batches(
            self.network,
            self.preprocess,
            ImageList(images),
            range(len(images)),
            width=len(self.classes),
            progress=progress,
            phase=phase,
            engine="eager" if len(images) < WORTH_COMPILING else "auto",
            device=self.device,
            tta=self.tta,
            join=lambda logits: log_mean_of_views(logits, self.tta.weights, self.temperature),
        )

    def log_probabilities(self, images: Sequence[ImageLike] | np.ndarray) -> np.ndarray:
        """Calibrated log-probabilities, float64 ``[n, classes]``.

        Raises:
            ImageError: One of them cannot be read; the message names it.
        """
        found = self.outputs(images, NoProgress())
        for position in sorted(found.unreadable):
            decode(read_image(images[position]), self.preprocess)  # raises the error with its hint
            raise ImageError(f"image {position}: {found.unreadable[position]}")
        return found.values

    def place(self, name: str) -> int | None:
        """The output that a class's name means: of a published model by synset, name or number."""
        return self._places.get(name) if self.labels is None else self.labels.index(name)


def load(
    model: str | Path,
    *,
    tta: str | None = None,
    device: str | None = None,
    progress: ProgressCallback | None = None,
) -> TrainedClassifier:
    """A trained or published model, ready to use.

    Args:
        model: The folder of a run, a file of weights in it (``runs/x/snapshots/2.safetensors``), ``NAME[:WEIGHTS]``, or
            ``hub:OWNER/NAME[@REVISION]``.
        tta: Name of a test-time augmentation (``records/tta.py``); None for none.
        device: As `core.device.pick` takes it; None is the processor.
        progress: Receives the progress of a download, and what a person should know; None warns instead.

    Raises:
        CheckpointError: The folder holds no trained model, or a damaged one.
        PlanError: There is no such test-time augmentation, or the network does not support it.
        WeightsNotFoundError: The files are not here and cannot be fetched.
        UnknownModelError: Neither a folder nor a network has that name.
    """
    where, seen = pick(device or "cpu"), tta_policy(tta)
    opened = open_model(str(model), progress=progress)
    if progress is None:
        warn_of_others(opened)
    elif opened.instead:
        progress.note(opened.note)
    if opened.labels is None:
        hint = f"fit a head first: {command_line('striate', 'fit', 'DATA', '--backbone', model)}"
        raise CheckpointError(f"nothing is known of what the outputs of {model} mean", hint=hint)
    return TrainedClassifier(
        PixelNetwork(opened.model, opened.preprocess),
        opened.preprocess,
        opened.labels.names,
        temperature=opened.found.card.temperature if opened.found else 1.0,
        labels=None if opened.found else opened.labels,  # of our own models the names alone count
        tta=seen,
        name=str(model),
        folder=opened.found.folder if opened.found else None,
        device=where,
    )


def members(
    models: Sequence[str | Path],
    *,
    snapshots: bool = False,
    tta: str | None = None,
    device: str | None = None,
    progress: ProgressCallback | None = None,
) -> list[TrainedClassifier]:
    """Several models, ready to use.

    Args:
        models: Each as `load` takes it.
        snapshots: Whether the snapshots of the first model, a run, stand in for it, the last snapshot first.
        tta: As `load` takes it.
        device: As `load` takes it.
        progress: As `load` takes it.

    Raises:
        CheckpointError: The run kept no snapshots.
        StriateError: As `load`.
    """
    named = list(models)
    if snapshots:
        kept = sorted((Path(named[0]) / SNAPSHOTS).glob("*.safetensors"), key=_number, reverse=True)
        if not kept:
            hint = "train with snapshots: striate train NAME DATA --snapshots 6"
            raise CheckpointError(f"{named[0]} holds no snapshots", hint=hint)
        named[:1] = kept
    return [load(each, tta=tta, device=device, progress=progress) for each in named]


def ensemble(
    models: Sequence[str | Path], *, snapshots: bool = False, tta: str | None = None, device: str | None = None
) -> Ensemble:
    """Several models as one, by the mean of their probabilities.

    Args:
        models: Run folders or published models of the same classes, of any architecture.
        snapshots: Whether the snapshots of the first model, a run, stand in for it.
        tta: Name of a way to look at each image several times; None looks once.
        device: As `load` takes it.

    Raises:
        PlanError: The models do not know the same classes.
        StriateError: As `load`.
    """
    return Ensemble(members(models, snapshots=snapshots, tta=tta, device=device))


def _number(snapshot: Path) -> tuple[int, str]:
    """Orders 2 before 10."""
    return len(snapshot.stem), snapshot.stem
