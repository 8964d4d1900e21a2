"""A name to a network with its weights, its preprocessing and its labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from striate.core.arguments import checked_arguments
from striate.core.errors import CheckpointError, PlanError
from striate.core.events import ProgressCallback
from striate.core.meta import shapes_only
from striate.core.preprocess import Preprocess
from striate.models import REGISTRY, DenseModel, Entry, ImageModel
from striate.records.results import LoadRecord
from striate.weights import labels, timm_config, trained
from striate.weights.adapt import to_bands, to_colour, to_grey
from striate.weights.catalogue import Checkpoint
from striate.weights.fetch import Picked, digest, pick
from striate.weights.guess import guess
from striate.weights.labels import LabelSet
from striate.weights.load import load_state_dict, require_fit
from striate.weights.readers import read_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A published network, ready to run.

    Args:
        name: As in the registry.
        options: Fields of the spec that were changed for the weights; with the name they rebuild the network.
        model: In evaluation mode.
        checkpoint: The catalogue entry; None for a file that is in no catalogue.
        preprocess: What must be done to an image.
        labels: What the outputs mean; None where nothing is known, or where the head is fresh.
        sha256: Of the file.
        load_record: What became of every tensor.
        found: The folder that it came from; None for what is in the catalogue and for single files.
        note: What a person should know; empty when there is nothing.
        title: What a network of timm's form was asked for by; empty for others.
        instead: Whether other weights than the default stand in for it; the note says which.
    """

    name: str
    model: ImageModel
    checkpoint: Checkpoint | None
    preprocess: Preprocess
    labels: LabelSet | None
    sha256: str
    load_record: LoadRecord
    options: dict[str, Any] = field(default_factory=dict)
    found: trained.Found | None = None
    note: str = ""
    title: str = ""
    instead: bool = False

    @property
    def weights(self) -> str:
        """The catalogue tag, the folder, or the beginning of the file's sha256."""
        if self.found is not None:
            return self.found.title
        if self.title:
            return self.title
        return self.checkpoint.tag if self.checkpoint else f"sha256 {self.sha256[:12]}"

    @property
    def start(self) -> dict[str, str]:
        """Where the weights come from, for records: ``weights``, ``sha256``, ``licence``, and of a folder its story."""
        if self.found is not None:
            known, more = self.found.card.licence, self.found.place | self.found.card.made
        else:
            known, more = self.checkpoint.licence if self.checkpoint else "unknown", {}
        return {"weights": self.weights, "sha256": self.sha256, "licence": known} | more


def split_name(text: str) -> tuple[str | None, str | None]:
    """``NAME:WEIGHTS`` in two; WEIGHTS is None where only a name is given, NAME where only a folder is."""
    if trained.is_one(text):
        return None, text
    name, colon, tag = text.partition(":")
    trained.require_folder(name)
    return name, tag if colon else None


def open_model(
    name: str,
    *,
    classes: int | None = None,
    in_channels: int | None = None,
    drop_path_rate: float | None = None,
    allow_download: bool = True,
    progress: ProgressCallback | None = None,
) -> Opened:
    """Build the network that weights need, load them, and say what they mean.

    Args:
        name: ``NAME``, ``NAME:WEIGHTS`` or WEIGHTS. WEIGHTS is a catalogue tag, the path of a file (``FILE#KEY``
            for one of several sets of weights in it), or ``default``; alone, the folder of a trained
            network or of timm's form (``config.json``), or ``hub:OWNER/NAME[@REVISION]``, ``hub:timm/NAME.TAG`` too.
        classes: Length of the output. None, or the published number, keeps the published head; another gives a fresh
            one.
        in_channels: 1 or 3; where the weights take the other, the first convolution is folded (`weights.adapt`).
            None takes what the weights do.
        drop_path_rate: As for `create_model`.
        allow_download: Whether files may be fetched.
        progress: Receives the progress of the download; None reports none.

    Raises:
        UnknownModelError: No network has the name.
        UnknownWeightsError: The network has no such weights.
        WeightsNotFoundError: The file is not here and cannot be fetched.
        CheckpointError: The file is unreadable, executable, of another network, or not what the catalogue promises.
        PlanError: The weights cannot take images with that many channels.
    """
    network, tag = split_name(name)
    theirs = timm_config.find(tag, allow_download=allow_download, progress=progress) if tag is not None else None
    found = None
    if tag is not None and theirs is None:
        found = trained.find(tag, allow_download=allow_download, progress=progress)
    if theirs is not None:
        opened = _open_timm(theirs, network)
    elif found is not None:
        entry = REGISTRY.get(network or found.card.network)
        trained.require_network(found, entry.name)
        opened = _open_trained(found)
    else:
        assert network is not None  # what has none is a folder
        entry = REGISTRY.get(network)
        entry.require("classify")
        opened = _open(entry, pick(entry.name, tag, allow_download=allow_download, progress=progress))
    if drop_path_rate is not None:
        opened = _with_drop_path(opened, drop_path_rate)
    model, preprocess, known = opened.model, opened.preprocess, opened.labels
    if in_channels not in (None, preprocess.in_channels):
        if {in_channels, preprocess.in_channels} != {1, 3}:
            raise PlanError(
                f"{name} takes images of {preprocess.in_channels} channels, and of {in_channels} none is known",
                hint="create_model takes any number, and then the preprocessing is yours",
            )
        preprocess = (to_grey if in_channels == 1 else to_colour)(model, preprocess)
    if classes not in (None, model.classes):
        model.replace_head(classes)
        known = None
    return replace(opened, preprocess=preprocess, labels=known)


@checked_arguments
def create_model(
    name: str,
    weights: str | Path | None = None,
    *,
    classes: int | None = None,
    in_channels: int | None = None,
    drop_path_rate: float | None = None,
    progress: ProgressCallback | None = None,
) -> ImageModel | DenseModel:
    """Build a network by name.

    Args:
        name: As in the registry, or an alias; ``NAME:WEIGHTS`` too, or the folder of a trained network.
        weights: A catalogue tag, the path of a file (or ``FILE#KEY``), the folder of a trained network,
            ``hub:OWNER/NAME[@REVISION]``, or ``"default"``; None gives random weights. The network is
            built with the options that the weights need.
        classes: Length of the output. None takes the published number; another than the weights' gives a fresh last
            layer.
        in_channels: Channels of the images; None takes the published number. For others than the weights' the first
            convolution is folded: grey and colour exactly, any other number as `weights.adapt.to_bands` says.
        drop_path_rate: Probability of dropping the last residual function in training (stochastic depth), at least 0
            and below 1; None takes that of the paper. Only networks with stochastic depth take it.
        progress: Told about a download; None for silence.

    Returns:
        The network: in training mode with random weights, in evaluation mode with published ones.

    Raises:
        UnknownModelError: No network has the name; the message offers near ones.
        UnknownWeightsError: The network has no such weights.
        WeightsNotFoundError: The weights' file is not here and cannot be fetched.
        CheckpointError: The file is unreadable, executable, or of another network.

    Example:
        >>> create_model("resnet20_cifar", classes=3).classes
        3
    """
    network, tag = split_name(name)
    if weights is not None and tag is not None:
        raise PlanError(f"weights are named twice: {name!r} and {str(weights)!r}")
    tag = str(weights) if weights is not None else tag
    if tag is None:
        assert network is not None  # where it is not, the text is the tag
        entry = REGISTRY.get(network)
        options = {} if drop_path_rate is None else entry.drop_path_options(drop_path_rate)
        model = entry.create(classes=classes, in_channels=in_channels, options=options)
        assert isinstance(model, ImageModel | DenseModel)
        return model
    full = tag if network is None else f"{network}:{tag}"
    folded = in_channels is None or in_channels in (1, 3)
    opened = open_model(
        full,
        classes=classes,
        in_channels=in_channels if folded else None,
        drop_path_rate=drop_path_rate,
        progress=progress,
    )
    warn_of_others(opened, stacklevel=4)
    model = opened.model
    if in_channels is not None and not folded:
        to_bands(model, in_channels)
    return model


def _with_drop_path(opened: Opened, rate: float) -> Opened:
    """The same network and weights, built with another drop path rate."""
    entry, old = REGISTRY.get(opened.name), opened.model
    options = opened.options | entry.drop_path_options(rate)
    if opened.found is not None:
        model = trained.rebuild(replace(opened.found.card, options=options))
    else:
        model = entry.classifier(classes=old.classes, in_channels=old.in_channels, options=options)
    model.load_state_dict(old.state_dict())
    return replace(opened, model=model.eval(), options=options)


def _open_trained(found: trained.Found) -> Opened:
    model, record, content = trained.load(found)
    card = found.card
    return Opened(
        name=REGISTRY.get(card.network).name,
        options=dict(card.options),
        model=model,
        checkpoint=None,
        preprocess=card.preprocess,
        labels=LabelSet(name=found.title, names=card.classes),
        sha256=content,
        load_record=record,
        found=found,
        note=found.note,
    )


def warn_of_others(opened: Opened, *, stacklevel: int = 3) -> None:
    """Warn that other weights than the default stand in for it; Python shows a warning once for each place.

    Args:
        opened: The network.
        stacklevel: Of the call to name, counted from here.
    """
    if opened.instead:
        warnings.warn(f"{opened.name}: {opened.note}", UserWarning, stacklevel=stacklevel)


def _open_timm(found: timm_config.Published, network: str | None) -> Opened:
    """A network of timm's form, with its own preprocessing.

    Raises:
        CheckpointError: It is not the named network, or the weights do not fit it.
    """
    entry = REGISTRY.get(found.network)
    if network is not None and REGISTRY.get(network).name != entry.name:
        raise CheckpointError(f"{found.title} holds {entry.name}, not {network}", hint=f"name it alone: {found.title}")
    state, backbone = read_weights(found.file).tensors, found.classes == 0

    def build() -> ImageModel:
        channels = found.preprocess.in_channels
        return entry.classifier(classes=found.classes or None, in_channels=channels, options=found.options)

    try:
        with shapes_only():  # what a number of classes asks for must be in the file
            require_fit(build(), state, "timm", family=entry.family, backbone=backbone)
        model = build()
        record = load_state_dict(model, state, "timm", family=entry.family, backbone=backbone)
    except CheckpointError as error:
        raise CheckpointError(f"{found.file}: {error.message}", hint=error.hint) from error
    return Opened(
        name=entry.name,
        options=dict(found.options),
        model=model.eval(),
        checkpoint=None,
        preprocess=found.preprocess,
        labels=found.labels if found.classes else None,
        sha256=digest(found.file),
        load_record=record,
        title=found.title,
        note=f"{found.title} is timm's {entry.name} for {found.classes or 'no'} classes, with the preprocessing of its "
        f"{timm_config.CONFIG}",
    )


def _open(entry: Entry, picked: Picked) -> Opened:
    read = read_weights(picked.path, picked.key)
    state = read.tensors
    checkpoint = picked.checkpoint
    if checkpoint is not None:
        known = labels.read(checkpoint.labels)
        source, options, preprocess = checkpoint.source, checkpoint.options, checkpoint.preprocess
        count, backbone, note = len(known), not checkpoint.has_head, picked.note
    else:
        found = guess(entry, state, picked.path)
        source, options, preprocess = found.source, found.options, found.preprocess
        count, backbone, note, known = found.classes, found.backbone, found.note, None
    model = entry.classifier(classes=count, in_channels=preprocess.in_channels, options=options)
    try:
        record = load_state_dict(model, state, source, family=entry.family, replace_head=backbone, backbone=backbone)
    except CheckpointError as error:
        raise CheckpointError(f"{picked.path}: {error.message}", hint=error.hint) from error
    return Opened(
        name=entry.name,
        options=dict(options),
        model=model.eval(),
        checkpoint=checkpoint,
        preprocess=preprocess,
        labels=None if backbone else known,
        sha256=picked.sha256,
        load_record=record,
        note="; ".join(filter(None, (note, *read.notes))),
        instead=picked.instead,
    )
