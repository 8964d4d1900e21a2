"""timm's ``config.json``: a network with its weights and preprocessing, as timm's repositories on the hub have it.

Both ways: such a repository or folder is opened here, and what `publish` writes is opened by timm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from striate.core.errors import CheckpointError, PlanError
from striate.core.events import ProgressCallback
from striate.core.preprocess import Interpolation, Preprocess
from striate.models import REGISTRY
from striate.models.registry import with_options
from striate.records import io
from striate.weights import hub, labels
from striate.weights.catalogue import entries_for
from striate.weights.labels import LabelSet
from striate.weights.trained import CARD, WEIGHTS, ModelCard

CONFIG = "config.json"
OWNER = f"{hub.PREFIX}timm/"
MAX_CLASSES = 1_000_000
_HARMLESS = frozenset({"num_classes", "in_chans", "drop_rate", "drop_path_rate", "global_pool"})
_TRAINING = frozenset({"dropout", "drop_path_rate", "aux"})
"""Fields of specs that change nothing when a network is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A network of timm's form.

    Args:
        title: What it was asked for by; of the hub with the commit that it came down to.
        file: Its weights.
        network: Name in our registry.
        classes: Length of its output; 0 where it has no classifier.
        preprocess: What must be done to an image.
        labels: What the outputs mean; None where nothing is known.
        options: Fields of the network's spec that timm's network has.
    """

    title: str
    file: Path
    network: str
    classes: int
    preprocess: Preprocess
    labels: LabelSet | None
    options: dict[str, Any] = field(default_factory=dict)


def find(text: str, *, allow_download: bool = True, progress: ProgressCallback | None = None) -> Published | None:
    """The network of timm's form that `text` means; None where it means something else.

    Args:
        text: ``hub:timm/NAME.TAG[@REVISION]``, or a folder with ``config.json`` and ``model.safetensors``.
        allow_download: Whether files may be fetched (``STRIATE_OFFLINE`` forbids it too).
        progress: Receives the progress of the download; None reports none.

    Raises:
        CheckpointError: The files are damaged, or timm's network is not one of ours.
        WeightsNotFoundError: The hub's files are not here and cannot be fetched.
    """
    if text.startswith(OWNER):
        fetched = hub.fetch(text, [CONFIG, WEIGHTS], allow_download=allow_download, progress=progress)
        return _read(fetched.folder, f"{hub.PREFIX}{fetched.repository}@{fetched.commit[:12]}")
    folder = Path(text)
    if text.startswith(hub.PREFIX) or (folder / CARD).is_file() or not (folder / CONFIG).is_file():
        return None
    return _read(folder, text)


def _read(folder: Path, title: str) -> Published:
    path = folder / CONFIG
    try:
        found = io.read(path)
        if not isinstance(found, dict) or not isinstance(found.get("architecture"), str):
            raise ValueError("it names no architecture of timm")
        settings = found | (found.get("pretrained_cfg") or {})
        classes = int(found.get("num_classes", settings.get("num_classes", 0)))
        if not 0 <= classes <= MAX_CLASSES:
            raise ValueError(f"num_classes must be from 0 to {MAX_CLASSES:,}; got {classes}")
        preprocess = _preprocess(settings)
        names = found.get("label_names")
        known = _labels(title, classes, names if isinstance(names, list) else None)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint="make or fetch it again") from error
    name = found["architecture"]
    if name not in REGISTRY:
        raise CheckpointError(f"{path} is of timm's {name}, which is not one of our networks", hint="striate models")
    more = sorted(set(found.get("model_args") or {}) - _HARMLESS)
    if more:
        raise CheckpointError(f"{path} changes timm's {name} by {', '.join(more)}, which is not read")
    entry = REGISTRY.get(name)
    return Published(
        title=title,
        file=folder / WEIGHTS,
        network=entry.name,
        classes=classes,
        preprocess=preprocess,
        labels=known,
        options=_options(entry.name, settings.get("tag")),
    )


def _options(network: str, tag: Any) -> dict[str, Any]:
    """What timm's network has instead of ours: that of the catalogue's entry of the tag, or of the first of timm."""
    known = [each for each in entries_for(network) if each.source == "timm"]
    same = [each for each in known if each.tag == tag]
    return dict((same or known)[0].options) if known else {}


def _preprocess(settings: dict[str, Any]) -> Preprocess:
    """Timm's evaluation transform, at the size and crop of its published accuracy."""
    channels, height, width = (int(each) for each in settings.get("test_input_size") or settings["input_size"])
    crop = float(settings.get("test_crop_pct") or settings.get("crop_pct") or 0.875)
    if not 0 < crop <= 1:
        raise ValueError(f"crop_pct must be above 0 and at most 1; got {crop}")
    squash = settings.get("crop_mode") == "squash"
    interpolation = str(settings.get("interpolation", "bilinear"))
    if interpolation not in get_args(Interpolation):
        raise ValueError(f"interpolation must be one of {', '.join(get_args(Interpolation))}; got {interpolation}")
    resize = max(max(height, width), math.floor(max(height, width) / crop))
    return Preprocess(
        size=(height, width),
        resize=None if squash or resize == max(height, width) else resize,
        fit="stretch" if squash else "crop",
        interpolation=interpolation,  # pyright: ignore[reportArgumentType] - looked up above
        mean=tuple(float(each) for each in settings["mean"]),
        std=tuple(float(each) for each in settings["std"]),
        channels="grey" if channels == 1 else "rgb",
    )


def _labels(title: str, classes: int, names: list[Any] | None) -> LabelSet | None:
    if names is not None and len(names) == classes and len(set(names)) == classes:
        return LabelSet(name=title, names=tuple(str(each) for each in names))
    return labels.read("imagenet-1k") if classes == 1000 else None


# ---------------------------------------------------------------------- to timm


def require_same(card: ModelCard, source: str) -> None:
    """Refuse a network that the other library does not have, or has in another form.

    Raises:
        PlanError: It was cut off, takes BGR images, or has options that the other library's network has not.
    """
    entry, hint = REGISTRY.get(card.network), "publish it by our own names: leave --names out"
    if card.layer is not None:
        raise PlanError(f"the network was cut off after {card.layer}, and {source}'s {entry.name} is whole", hint=hint)
    if card.preprocess.channels == "bgr":
        raise PlanError(f"the network takes BGR images, and {source}'s {entry.name} RGB images", hint=hint)
    known = [each for each in entries_for(entry.name) if each.source == source]
    theirs = with_options(entry.spec, known[0].options if known else {})
    ours = with_options(entry.spec, card.options)
    mine, other = io.to_json(ours), io.to_json(theirs)
    differing = [name for name, value in mine.items() if name not in _TRAINING and _plain(value) != _plain(other[name])]
    if differing:
        raise PlanError(f"{source}'s {entry.name} has other options: {', '.join(differing)}", hint=hint)


def _plain(value: Any) -> Any:
    """An option without the parts that matter in training alone."""
    return {k: v for k, v in value.items() if k not in _TRAINING} if isinstance(value, dict) else value


def config(card: ModelCard) -> dict[str, Any]:
    """The ``config.json`` by which timm builds the network and prepares images."""
    entry, how = REGISTRY.get(card.network), card.preprocess
    name = next(iter(REGISTRY.aliases(entry.name)), entry.name)
    low, high = how.value_range
    side = max(how.size)
    cut = how.resize is not None and how.resize > side and how.fit == "crop"
    return {
        "architecture": name,
        "num_classes": len(card.classes),
        "label_names": list(card.classes),
        "model_args": {"in_chans": how.in_channels} if how.in_channels != entry.input[0] else {},
        "pretrained_cfg": {
            "tag": "striate",
            "input_size": [how.in_channels, *how.size],
            "fixed_input_size": False,
            "interpolation": how.interpolation,
            "crop_pct": side / (how.shorter_side + 0.5) if cut else 1.0,  # timm rounds size / crop_pct down
            "crop_mode": "squash" if how.fit == "stretch" else "center",
            "mean": [(each - low) / (high - low) for each in how.mean],
            "std": [each / (high - low) for each in how.std],
            "num_classes": len(card.classes),
            "license": card.licence,
        },
    }
