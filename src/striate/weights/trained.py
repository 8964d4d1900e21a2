"""A trained network in a folder: ``model.safetensors``, and in ``model.json`` everything that the weights need.

Such a folder is a checkpoint like those of the catalogue, whether a run left it here or somebody published it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from striate.core.errors import CheckpointError, PlanError, UnknownModelError
from striate.core.events import ProgressCallback
from striate.core.meta import TooManyTensorsError, at_most_tensors, shapes_only
from striate.core.preprocess import Preprocess
from striate.core.version import __version__
from striate.core.words import command_line
from striate.models import REGISTRY, ImageModel
from striate.records import io
from striate.records.results import LoadRecord
from striate.weights import hub
from striate.weights.fetch import digest
from striate.weights.load import load_state_dict
from striate.weights.load import require_fit as weights_fit
from striate.weights.readers import read_state
from striate.weights.save import save_state

FORMAT = 1
CARD, WEIGHTS = "model.json", "model.safetensors"
LAST, SNAPSHOTS = "last.safetensors", "snapshots"
"""Further weights of a training run: the last ones where a better epoch's are the result, and those of each cycle."""
TEMPERATURES = (1e-4, 1e4)
"""What calibration gives lies well within; beyond, probabilities are 0 and 1 or all alike by rounding alone."""
IMAGES = "images.npy"
"""The beginnings of the digests of the images that training and its choices saw."""
_EXECUTABLE = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".py"})
"""Suffixes of what other programs would run when they open it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What ``model.json`` holds: enough to rebuild the model and its input without the data.

    Args:
        network: Name in the registry.
        options: Fields of its spec that differ from the registry's.
        layer: The feature layer above which the network was cut off; None for the whole network.
        classes: Names in the order of the outputs.
        preprocess: What must be done to an image.
        temperature: What logits are divided by before probabilities are taken.
        start: Where the starting weights came from: ``weights``, ``sha256``, ``licence``, or ``random``; of a folder
            also ``folder``, or ``hub`` and ``revision``, and its own ``data`` and ``recipe``.
        made: How these weights came about: ``verb``, ``data`` (its name, not where it lay), ``recipe``.
        licence: Of these weights; ``unknown`` until somebody who may says it.
        sha256: Of ``model.safetensors``; None in files of before it was kept.
        task: Name of the task, which interprets the outputs.
        striate: Version that wrote it.
        format: Of this file.
    """

    network: str
    options: dict[str, Any]
    layer: str | None
    classes: tuple[str, ...]
    preprocess: Preprocess
    temperature: float
    start: dict[str, str]
    made: dict[str, str] = field(default_factory=dict)
    licence: str = "unknown"
    sha256: str | None = None
    task: str = "classify"
    striate: str = __version__
    format: int = FORMAT

    def __post_init__(self) -> None:
        low, high = TEMPERATURES
        if not isinstance(self.temperature, int | float) or not low <= self.temperature <= high:
            raise ValueError(f"temperature must be from {low:g} to {high:g}; got {self.temperature}")
        if not self.classes:
            raise ValueError("classes must be named; got none")
        doubled = [name for name, count in Counter(self.classes).items() if count > 1]
        if doubled:
            raise ValueError(f"every class must have a name of its own; {doubled[0]!r} stands twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A folder that holds a trained network.

    Args:
        title: What it was asked for by; of the hub with the commit that it came down to.
        folder: Where it is on this machine.
        file: The weights in it.
        card: Its ``model.json``.
        place: Where it came from, for records: ``folder``, or ``hub`` and ``revision``.
    """

    title: str
    folder: Path
    file: Path
    card: ModelCard
    place: dict[str, str]

    @property
    def note(self) -> str:
        """What it is, in a line."""
        made = self.card.made
        data = f" on {made['data']}" if "data" in made else ""
        how = f" by the recipe {made['recipe']}" if "recipe" in made else ""
        return f"{self.title} is {self.card.network}, trained{data}{how} for {len(self.card.classes)} classes"


def is_model_folder(path: str | Path) -> bool:
    """Whether a path is a folder that holds a trained model."""
    return (Path(path) / CARD).is_file()


def is_one(text: str) -> bool:
    """Whether `text` means a folder or a place on the hub, not a network.

    The name of a network means the network, unless the folder of that name holds a trained model.
    """
    if text.startswith(hub.PREFIX):
        return True
    path = Path(text)
    return (path.is_dir() and (text not in REGISTRY or is_model_folder(path))) or _home(path) is not None


def _home(path: Path) -> Path | None:
    """The folder of the run that a file of weights belongs to; None where the path is no such file."""
    folder = path.parent.parent if path.parent.name == SNAPSHOTS else path.parent
    named = path.name in (WEIGHTS, LAST) or (path.parent.name == SNAPSHOTS and path.suffix == ".safetensors")
    return folder if named and path.is_file() and is_model_folder(folder) else None


def require_folder(name: str) -> None:
    """Refuse a path at which there is nothing, before it is read as the name of a network.

    Raises:
        CheckpointError: `name` has the form of a path.
    """
    if "/" in name or os.sep in name:
        hint = f"give the folder of a finished run, NAME, NAME:WEIGHTS, or {hub.PREFIX}OWNER/NAME"
        raise CheckpointError(f"there is no folder {name}", hint=hint)


def find(text: str, *, allow_download: bool = True, progress: ProgressCallback | None = None) -> Found | None:
    """The trained network that `text` means; None where it means something else (`is_one`).

    Args:
        text: A folder, a file of weights in it (``model.safetensors``, ``snapshots/2.safetensors``), or
            ``hub:OWNER/NAME[@REVISION]``.
        allow_download: Whether files may be fetched (``STRIATE_OFFLINE`` forbids it too).
        progress: Receives the progress of the download; None reports none.

    Raises:
        CheckpointError: The folder holds no trained network, a damaged one, or something executable.
        WeightsNotFoundError: The hub's files are not here and cannot be fetched.
    """
    if text.startswith(hub.PREFIX):
        fetched = hub.fetch(text, [CARD, WEIGHTS], allow_download=allow_download, progress=progress)
        place = {"hub": fetched.repository, "revision": fetched.commit}
        title = f"{hub.PREFIX}{fetched.repository}@{fetched.commit[:12]}"
        folder = fetched.folder
        return Found(title=title, folder=folder, file=folder / WEIGHTS, card=read_card(folder), place=place)
    if not is_one(text):
        return None
    path = Path(text)
    folder = _home(path) or path
    if not is_model_folder(folder):
        raise CheckpointError(f"{folder} holds no trained model (no {CARD})", hint=_why_none(folder))
    _refuse_executable(folder)
    return Found(
        title=str(folder) if path.name == WEIGHTS else str(path),
        folder=folder,
        file=folder / WEIGHTS if path.is_dir() else path,
        card=read_card(folder),
        place={"folder": str(folder.absolute())},
    )


def _why_none(folder: Path) -> str:
    try:
        verb = io.read(folder / "plan.json")["verb"]
    except (OSError, ValueError, TypeError, KeyError):
        return "a trained model is the folder of a finished run, or one that striate publish made"
    again = command_line("striate", "train", "--resume", folder) if verb == "train" else "the command that began it"
    return f"its run is unfinished; {again} resumes it"


def _refuse_executable(folder: Path) -> None:
    found = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in _EXECUTABLE)
    if found:
        raise CheckpointError(
            f"{folder} holds {', '.join(found[:3])}, which can execute code when it is opened; nothing of it was read",
            hint=f"keep {CARD} and {WEIGHTS} alone in a folder: they cannot execute anything",
        )


def read_card(folder: Path) -> ModelCard:
    """The ``model.json`` of a folder.

    Raises:
        CheckpointError: It is not one.
        UnknownModelError: There is no such network.
    """
    path = folder / CARD
    try:
        found = io.read(path)
        if isinstance(found, dict) and found.get("format") != FORMAT:
            raise CheckpointError(
                f"{path} has format {found.get('format')!r}, and this version of striate reads format {FORMAT}",
                hint="use the version that wrote it, or make the model again",
            )
        card = io.from_json(ModelCard, found)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint="make or fetch the model again") from error
    with _naming(path):
        REGISTRY.get(card.network)
    return card


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put a file's name before what is wrong with a network that it asks for.

    Raises:
        StriateError: Of the same class.
    """
    try:
        yield
    except (PlanError, UnknownModelError) as error:
        raise type(error)(f"{path}: {error.message}", hint=error.hint) from error


def rebuild(card: ModelCard) -> ImageModel:
    """The network of a card, with random weights and without auxiliary heads, which are of use in training alone.

    Args:
        card: Its size is what its options say; of a card from elsewhere `require_fit` asks first.

    Raises:
        CheckpointError: The network cannot be built as the card says.
        UnknownModelError: There is no such network, or it has no such feature layer.
    """
    entry = REGISTRY.get(card.network)
    classes, channels = len(card.classes), card.preprocess.in_channels
    try:
        own = classes if card.layer is None else None
        model = entry.classifier(classes=own, in_channels=channels, options=card.options)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # PyTorch's, for shapes that cannot be
        raise CheckpointError(f"{card.network} cannot be built with the options {card.options}: {error}") from error
    if card.layer is not None:
        model.truncate(card.layer, classes)
    model.drop_aux()
    return model


def require_fit(found: Found, state: Mapping[str, Tensor]) -> None:
    """Refuse a card whose network is not that of the weights, before its numbers take any memory.

    The network is built without values, and given up as soon as it has more tensors than the file can fill.

    Raises:
        CheckpointError: Names or shapes differ, or the options ask for more than the file has.
        UnknownModelError: There is no such network, or it has no such feature layer.
    """
    path, card = found.file, found.card
    hint = "the two files belong together: make, copy or fetch the folder again"
    count = sum(tensor.numel() for tensor in state.values())
    large = [name for name, value in card.options.items() if _largest(value) > count]
    if large:
        raise CheckpointError(
            f"option {large[0]!r} in {found.folder / CARD} is larger than the {count:,} numbers of {path.name}",
            hint=hint,
        )
    try:
        with _naming(found.folder / CARD), shapes_only(), at_most_tensors(20 * len(state) + 10_000):
            model = rebuild(card)
        weights_fit(model, state, "striate", family="")
    except TooManyTensorsError as error:
        raise CheckpointError(f"{card.network} with {card.options} is larger than {path}", hint=hint) from error
    except CheckpointError as error:
        raise CheckpointError(f"{path} does not fit the network in {CARD}: {error.message}", hint=hint) from error


def _largest(value: Any) -> float:
    """The largest number in an option."""
    if isinstance(value, list | tuple):
        return max(map(_largest, value), default=0)
    return abs(value) if isinstance(value, int | float) else 0


def load(found: Found) -> tuple[ImageModel, LoadRecord, str]:
    """The network with its weights, in evaluation mode.

    Returns:
        The network, what became of every tensor, and the sha256 of the file.

    Raises:
        CheckpointError: The weights are damaged, or of another network than the card says.
    """
    path = found.file
    state = read_state(path)
    require_fit(found, state)
    model = rebuild(found.card)
    record = load_state_dict(model, state, family=REGISTRY.get(found.card.network).family)
    content = digest(path)
    if path.name == WEIGHTS and found.card.sha256 not in (None, content):
        raise CheckpointError(
            f"{path} is damaged or exchanged: its sha256 is {content}, {CARD} says {found.card.sha256}",
            hint="make, copy or fetch the folder again",
        )
    return model.eval(), record, content


def save(folder: Path, model: ImageModel, card: ModelCard) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder, each whole or not at all.

    Raises:
        StorageError: They cannot be written.
    """
    save_weights(folder / WEIGHTS, model)
    io.write(folder / CARD, replace(card, sha256=digest(folder / WEIGHTS)))


def save_weights(path: Path, model: ImageModel) -> None:
    """Write a network's weights, whole or not at all; auxiliary heads, which are of use in training alone, stay out.

    Raises:
        StorageError: They cannot be written.
    """
    words = {"striate": __version__}  # one only: safetensors writes several in any order
    save_state(model, path, without="aux.", metadata=words)


def require_network(found: Found, network: str) -> None:
    """Refuse a folder that holds another network than was named.

    Raises:
        CheckpointError: It does.
    """
    if found.card.network != network:
        raise CheckpointError(
            f"{found.title} holds {found.card.network}, not {network}", hint=f"name the folder alone: {found.title}"
        )
