"""Extracts the pooled features of one stage for a set of images."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.core.atomic import write_bytes
from striate.core.cancel import CancelPoints, CancelToken
from striate.core.device import pick
from striate.core.errors import DataError, PlanError
from striate.core.events import NoProgress, ProgressCallback
from striate.core.preprocess import Preprocess
from striate.data.column import CategoryColumn
from striate.data.image_index import ImageIndex
from striate.data.image_list import ImageList, flat_folder
from striate.data.index import scan
from striate.data.labels import class_column
from striate.inference.layer_features import LayerFeatures
from striate.inference.predict import predict_batches
from striate.models import ImageModel
from striate.records.plans import EngineName, FeaturesPlan
from striate.records.verbs import FeaturesRecord
from striate.weights import open_model

FORMATS = (".npz", ".npy")
ARRAYS = ("features", "files", "labels", "classes")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Pooled features of images.

    Args:
        values: float32 ``[n, channels]``, a row for each image that could be read.
        files: The images' names within the data, a name for each row.
        labels: int64 ``[n]``, indices into `classes`; None for images without labels.
        classes: Names of the classes; empty for images without labels.
        stage: The layer that they were taken from.
        unreadable: Reason by name of every image that could not be read.
    """

    values: np.ndarray
    files: tuple[str, ...]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    stage: str
    unreadable: dict[str, str]

    def save(self, file: str | Path) -> FeaturesRecord:
        """Write the features to a file, whole or not at all.

        Args:
            file: ``.npz`` holds ``features``, ``files``, ``labels`` and ``classes``; ``.npy`` the features alone.

        Raises:
            PlanError: The file has another ending.
            StorageError: It cannot be written.
        """
        path = Path(file)
        require_format(path)
        stream = io.BytesIO()
        if path.suffix == ".npy":
            np.save(stream, self.values)
        else:
            labels = np.zeros(0, dtype=np.int64) if self.labels is None else self.labels
            names, classes = np.array(self.files, dtype=np.str_), np.array(self.classes, dtype=np.str_)
            np.savez(stream, features=self.values, files=names, labels=labels, classes=classes)
        write_bytes(path, stream.getvalue())
        rows, width = self.values.shape
        return FeaturesRecord(file=str(path), shape=(rows, width), stage=self.stage, unreadable=self.unreadable)


def require_format(path: Path) -> None:
    """Refuse a file that features cannot be written to.

    Raises:
        PlanError: Its ending is not among `FORMATS`, or it holds something else than features.
    """
    if path.suffix not in FORMATS:
        raise PlanError(f"{path} is not a format for features", hint=f"name a file that ends in {' or '.join(FORMATS)}")
    if path.exists() and not _holds_features(path):
        raise PlanError(f"{path} exists and does not hold features", hint="choose another name, or move the file away")


def _holds_features(path: Path) -> bool:
    """Whether `Features.save` may have written a file."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return {f"{name}.npy" for name in ARRAYS} == set(archive.namelist())
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        return values.dtype == np.float32 and values.ndim == 2
    except Exception:
        return False


def run(
    plan: FeaturesPlan, *, out: Path, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
) -> FeaturesRecord:
    """Extract features and write them to a file.

    Args:
        plan: The model, the images, and the stage.
        out: The file, ``.npz`` or ``.npy``.
        progress: Receives phases and steps; None reports none.
        cancel: Asks the job to stop at its next step; None never asks.

    Raises:
        JobCancelled: `cancel` asked to stop.
        DataError: There is no such data, or none of its images can be read.
        PlanError: The file has another ending, or holds something else.
        UnknownModelError: There is no such network, or it has no such stage.
    """
    require_format(out)
    return extract(plan, progress=CancelPoints(progress or NoProgress(), cancel or CancelToken())).save(out)


def extract(plan: FeaturesPlan, *, progress: ProgressCallback) -> Features:
    """Extract features.

    Args:
        plan: The model, the images, and the stage.
        progress: Receives phases and steps.

    Raises:
        StriateError: As `run`.
    """
    opened = open_model(plan.model, progress=progress)
    if opened.instead:
        progress.note(opened.note)
    return of_data(
        opened.model,
        opened.preprocess,
        plan.data,
        root=plan.root,
        stage=plan.stage,
        split=plan.split,
        device=plan.device,
        engine=plan.engine,
        batch=plan.batch,
        progress=progress,
    )


def of_data(
    model: ImageModel,
    preprocess: Preprocess,
    data: str | Path | Sequence[object],
    *,
    root: str | None = None,
    stage: str | None = None,
    split: str | None = None,
    device: str | None = None,
    engine: EngineName = "auto",
    batch: int = 32,
    progress: ProgressCallback,
) -> Features:
    """Extract the features of any network.

    Args:
        model: The network.
        preprocess: What its weights were trained with.
        data: As `FeaturesPlan.data`, or a sequence of single images: paths, bytes, uint8 arrays or PIL images.
        root: As `FeaturesPlan.root`.
        stage: As `FeaturesPlan.stage`.
        split: As `FeaturesPlan.split`.
        device: As `FeaturesPlan.device`.
        engine: As `FeaturesPlan.engine`.
        batch: As `FeaturesPlan.batch`.
        progress: Receives phases and steps.

    Raises:
        StriateError: As `run`.
    """
    layer = LayerFeatures(model, preprocess, stage)
    images, names, column = _images(data, root)
    positions = _positions(images, len(names), split)
    found = predict_batches(
        layer,
        preprocess,
        images,
        positions,
        width=layer.width,
        progress=progress,
        phase="extracting features",
        batch=batch,
        engine=engine,
        device=pick(device or "cpu"),
    )
    return Features(
        values=found.values,
        files=tuple(str(names[int(p)]) for p in found.positions),
        labels=None if column is None else np.asarray(column.codes)[found.positions].astype(np.int64),
        classes=() if column is None else tuple(column.values),
        stage=layer.layer,
        unreadable={str(names[p]): reason for p, reason in found.unreadable.items()},
    )


def _images(
    data: str | Path | Sequence[object], root: str | None
) -> tuple[ImageIndex | ImageList, Sequence[str], CategoryColumn | None]:
    """The images, their names, and their classes if they have labels."""
    if not isinstance(data, str | Path):
        listed = ImageList(data)  # pyright: ignore[reportArgumentType]  # what is no image is refused when it is read
        return listed, listed.names, None
    flat = flat_folder(Path(data).expanduser())
    if flat:
        return ImageList(flat), [each.name for each in flat], None
    index = scan(data, root=root)
    return index, index.names, class_column(index)


def _positions(images: ImageIndex | ImageList, count: int, split: str | None) -> np.ndarray:
    if split is None:
        return np.arange(count)
    if not isinstance(images, ImageIndex):
        raise DataError(f"a list of images has no split {split!r}", hint="leave the split out")
    return images.in_split(split)
