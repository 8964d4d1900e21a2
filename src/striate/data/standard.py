"""The standard sets in their own formats. Their files are never downloaded; `root` is the folder that has them."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from striate.core.errors import DataError
from striate.core.reading import reading
from striate.data import archive, folder
from striate.data.column import CategoryColumn, TextColumn
from striate.data.image_index import LABEL, ImageIndex, from_columns, from_listing
from striate.data.layout import ARCHIVES
from striate.data.split_names import TEST, TRAIN
from striate.data.standard_names import CIFAR10, CIFAR100, DIGITS, FASHION_MNIST
from striate.data.stores import ArrayStore, JointStore, file_stamp

_IDX_UBYTE = 0x08
_GZIP_RATIO = 1032  # nothing is compressed further
_CIFAR_PIXELS = 3 * 32 * 32


def load(name: str, root: Path | None) -> ImageIndex:
    """The standard set called `name`.

    Args:
        name: One of `NAMES`.
        root: The folder of its files, or the folder above that; None for ``digits``.

    Raises:
        DataError: The files are missing or damaged.
    """
    if name == "digits":
        return _digits()
    if root is None:
        raise DataError(
            f"the folder with the files of {name} is missing", hint="give --root FOLDER; nothing is downloaded"
        )
    if not root.is_dir():
        raise DataError(f"there is no folder {root} for the files of {name}", hint="give --root FOLDER")
    return _LOADERS[name](name, root)


def _digits() -> ImageIndex:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels; its 17 levels become 0 to 255."""
    import sklearn
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    pixels = np.rint(np.asarray(levels).reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    stamp = f"sklearn-{sklearn.__version__}:0"
    return _of_arrays("digits", [_Part(split="", pixels=pixels, labels=np.asarray(labels), stamp=stamp)], DIGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Images ``[n, h, w]`` or ``[n, h, w, 3]`` of one file, their labels, their split ("" for none) and stamp."""

    split: str
    pixels: np.ndarray
    labels: np.ndarray
    stamp: str


def _of_arrays(name: str, parts: Sequence[_Part], classes: tuple[str, ...]) -> ImageIndex:
    labels = np.concatenate([part.labels for part in parts]).astype(np.int64)
    if labels.max(initial=0) >= len(classes):
        raise DataError(
            f"{name} has the label {labels.max()} but only {len(classes)} classes", hint="download it again"
        )
    splits = [part.split for part in parts for _ in range(len(part.pixels))]
    number: Counter[str] = Counter()
    names = []
    for split in splits:
        names.append(f"{split}/{number[split]:05d}" if split else f"{number[split]:05d}")
        number[split] += 1
    return ImageIndex(
        source=name,
        kind="standard",
        names=TextColumn(names),
        annotations={LABEL: CategoryColumn(classes, labels)},
        splits=tuple(splits) if any(splits) else None,
        store=JointStore([(ArrayStore([part.pixels], part.stamp), len(part.pixels)) for part in parts]),
    )


def _places(name: str, root: Path) -> list[Path]:
    inner = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}.get(name, "raw")
    return [place for base in (root, root / name) for place in (base, base / inner)]


# ---------------------------------------------------------------------- MNIST and its kin


def _mnist(name: str, root: Path) -> ImageIndex:
    classes = DIGITS if name == "mnist" else FASHION_MNIST
    parts = []
    for split, prefix in ((TRAIN, "train"), (TEST, "t10k")):
        images, labels = _idx_file(name, root, f"{prefix}-images", 3), _idx_file(name, root, f"{prefix}-labels", 1)
        pixels, values = _read_idx(images, 3), _read_idx(labels, 1)
        if len(pixels) != len(values):
            raise DataError(
                f"{images} has {len(pixels)} images and {labels} {len(values)} labels", hint="download both again"
            )
        parts.append(_Part(split=split, pixels=pixels, labels=values, stamp=file_stamp(images)))
    return _of_arrays(name, parts, classes)


def _idx_file(name: str, root: Path, stem: str, dimensions: int) -> Path:
    spellings = [f"{stem}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for place in _places(name, root):
        for spelling in spellings:
            if (place / spelling).is_file():
                return place / spelling
    raise DataError(
        f"{name} needs {spellings[1]}, which is neither in {root} nor in {root / name}", hint="check --root"
    )


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of an idx file, plain or gzipped: two zeros, type, dimensions, sizes (big-endian), bytes."""
    gzipped = path.suffix == ".gz"
    with (
        reading(path, DataError, "an idx file", hint="download it again"),
        gzip.open(path) if gzipped else path.open("rb") as stream,
    ):
        head = stream.read(4 + 4 * dimensions)
        if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, _IDX_UBYTE, dimensions)):
            raise ValueError(f"it does not begin as one of bytes in {dimensions} dimensions")
        shape = [int.from_bytes(head[start : start + 4], "big") for start in range(4, len(head), 4)]
        size = math.prod(shape)
        if not 0 < size <= path.stat().st_size * (_GZIP_RATIO if gzipped else 1):
            raise ValueError(f"its header names {size:,} bytes, and the file has {path.stat().st_size:,}")
        data = stream.read(size + 1)
        if len(data) != size:
            raise ValueError(
                f"its header names {size:,} bytes, and there are {'more' if len(data) > size else 'fewer'}"
            )
        return np.frombuffer(data, np.uint8).reshape(shape)


# ---------------------------------------------------------------------- CIFAR


def _cifar(name: str, root: Path) -> ImageIndex:
    for place in _places(name, root):
        found = _cifar_binary(name, place) or _cifar_files(name, place)
        if found is not None:
            return found
    pickled = [p for p in ("data_batch_1", "meta", "cifar-10-batches-py", "cifar-100-python") if (root / p).exists()]
    if pickled:
        raise DataError(
            f"{root} holds the pickled version of {name} ({pickled[0]}), which could execute anything when read",
            hint="download the binary version (.bin) from the same page",
        )
    raise DataError(
        f"{root} holds no {name}",
        hint="expected are its binary version (.bin), or train and test as class folders or .tar",
    )


def _cifar_binary(name: str, place: Path) -> ImageIndex | None:
    """Records of a label (of two in CIFAR-100, the coarse one first) and 3 x 32 x 32 bytes; None without any."""
    files, label_bytes = _CIFAR_BINARY[name]
    if not any((place / file).is_file() for file, _ in files):
        return None
    record = label_bytes + _CIFAR_PIXELS
    parts = []
    for path, split in ((place / file, split) for file, split in files):
        if not path.is_file() or not path.stat().st_size or path.stat().st_size % record:
            raise DataError(f"{path} is missing or cut short", hint=f"download the binary version of {name} again")
        with reading(path, DataError, f"the binary version of {name}"):
            table = np.memmap(path, np.uint8, "r").reshape(-1, record)
        pixels = table[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        parts.append(_Part(split=split, pixels=pixels, labels=table[:, label_bytes - 1], stamp=file_stamp(path)))
    return _of_arrays(name, parts, _CIFAR_CLASSES[name])


def _cifar_files(name: str, place: Path) -> ImageIndex | None:
    """Class folders below ``train`` and ``test``, or one archive for each of the two; None without them."""
    if all((place / split).is_dir() for split in (TRAIN, TEST)):
        index = from_listing(name, "standard", folder.listing(place))
    else:
        archives = {s: p for s in (TRAIN, TEST) for end in ARCHIVES if (p := place / f"{s}{end}").is_file()}
        if len(archives) < 2:
            return None
        halves = {split: from_listing(str(path), "archive", archive.listing(path)) for split, path in archives.items()}
        index = _joined(name, halves)
    return _in_published_order(index, _CIFAR_CLASSES[name])


def _in_published_order(index: ImageIndex, classes: tuple[str, ...]) -> ImageIndex:
    labels = index.annotation(LABEL)
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise DataError(
            f"{index.source} has folders that are none of its {len(classes)} classes: {', '.join(unknown[:5])}",
            hint=f"its classes are {', '.join(classes[:5])} ...",
        )
    places = {each: i for i, each in enumerate(classes)}
    codes = np.fromiter((places[label] for label in labels), dtype=np.int64, count=len(index))
    return replace(index, annotations={LABEL: CategoryColumn(classes, codes)})


def _joined(name: str, halves: Mapping[str, ImageIndex]) -> ImageIndex:
    return from_columns(
        source=name,
        kind="standard",
        names=TextColumn(
            f"{split}/{each.removeprefix(split + '/')}" for split, half in halves.items() for each in half.names
        ),
        annotations={LABEL: TextColumn(label for half in halves.values() for label in half.annotation(LABEL))},
        splits=[split for split, half in halves.items() for _ in range(len(half))],
        store=JointStore([(half.store, len(half)) for half in halves.values()]),
        skipped={f"{split}/{each}": why for split, half in halves.items() for each, why in half.skipped.items()},
    )


_CIFAR_CLASSES = {"cifar10": CIFAR10, "cifar100": CIFAR100}
_CIFAR_BINARY: Mapping[str, tuple[list[tuple[str, str]], int]] = {
    "cifar10": ([*((f"data_batch_{i}.bin", TRAIN) for i in range(1, 6)), ("test_batch.bin", TEST)], 1),
    "cifar100": ([("train.bin", TRAIN), ("test.bin", TEST)], 2),
}
_LOADERS: Mapping[str, Callable[[str, Path], ImageIndex]] = {
    "mnist": _mnist,
    "fashion_mnist": _mnist,
    "cifar10": _cifar,
    "cifar100": _cifar,
}

NAMES = ("digits", *_LOADERS)
"""Names of the standard sets."""
