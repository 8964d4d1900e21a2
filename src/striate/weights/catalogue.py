"""What is published: ``catalogue/*.toml`` as records. Needs no torch.

An entry says where a file is, which file it must be, and everything that its weights need to mean something: the
network's options, the preprocessing, the labels. Entries of one network stand in order of preference.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from striate.core.errors import UnknownWeightsError
from striate.core.preprocess import Preprocess
from striate.core.registry import nearest
from striate.records import zoo
from striate.records.io import from_json

if TYPE_CHECKING:
    from striate.data.transforms import ImageTransform

Source = Literal["torchvision", "timm", "keras", "akamaster", "lukemelas", "striate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Another file that holds the same weights, such as a conversion to safetensors.

    Args:
        file: Its name.
        sha256: Of its content, in full.
        bytes: Its size.
    """

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What the publisher, or we, measured. Accuracies in percent.

    Args:
        dataset: The labelled images.
        top1: Share whose likeliest class is right.
        top5: Share whose label is among the five likeliest; None where not published.
    """

    dataset: str
    top1: float
    top5: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Published weights of one network.

    Args:
        network: Name in the registry.
        tag: Name among the network's weights.
        source: Whose tensor names the file uses.
        file: Name of the file.
        preprocess: What must be done to an image.
        labels: Name of the label set.
        licence: Of the weights.
        sha256: Of the file, in full; None where only `sha256_prefix` is published. What was downloaded first then
            counts, and is checked from then on.
        sha256_prefix: The first digits of it.
        url: Where the file is fetched from, by https; None where it is on the hub, or can only be brought along.
        hub: ``owner/repository`` on Hugging Face whose ``model.safetensors`` it is.
        package: Name of the installed Python package that brings the file; None where none does.
        bytes: Size of the file; None where not known.
        copies: Other files that hold the same weights.
        options: Fields of the network's spec that the weights need (`models.registry.with_options`).
        metric: A published measurement.
        has_head: Whether the file's classifier is used. It is not where the file has none, or one for other classes
            than `labels`, such as the 21,841 of ImageNet-22k.
        bundled: Whether the file is in the package.
        note: Something a user of these weights should know.
    """

    network: str
    tag: str
    source: Source
    file: str
    preprocess: Preprocess
    labels: str
    licence: str
    sha256: str | None = None
    sha256_prefix: str | None = None
    url: str | None = None
    hub: str | None = None
    package: str | None = None
    bytes: int | None = None
    copies: tuple[Copy, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    metric: Metric | None = None
    has_head: bool = True
    bundled: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        """``NETWORK:TAG``."""
        return f"{self.network}:{self.tag}"

    def transforms(self) -> ImageTransform:
        """The preprocessing of these weights, as a callable from one image to a normalised tensor.

        Example:
            >>> transform = get("lenet5:mnist").transforms()  # transform("photo.jpg") is a tensor [1, 28, 28]
        """
        from striate.data.transforms import ImageTransform

        return ImageTransform(self.preprocess)

    @property
    def fetchable(self) -> bool:
        """Whether the file can be downloaded."""
        return self.url is not None or self.hub is not None

    @property
    def digests(self) -> dict[str, str]:
        """Full sha256 to file name, of the file and its copies, as far as they are known."""
        known = {copy.sha256: copy.file for copy in self.copies}
        return ({self.sha256: self.file} if self.sha256 else {}) | known


@cache
def entries() -> tuple[Checkpoint, ...]:
    """Everything in the catalogue; a network's entries in order of preference."""
    folder = files("striate.weights") / "catalogue"
    found: list[Checkpoint] = []
    for file in sorted((each for each in folder.iterdir() if each.name.endswith(".toml")), key=lambda f: f.name):
        tables = tomllib.loads(file.read_text(encoding="utf-8"))["checkpoint"]
        found += (from_json(Checkpoint, table) for table in tables)
    return tuple(found)


def entries_for(name: str) -> list[Checkpoint]:
    """The weights of one network, best first; none for a network without published weights.

    Args:
        name: As in the registry (not an alias).
    """
    return [each for each in entries() if each.network == name]


def get(name: str) -> Checkpoint:
    """A catalogue entry by name.

    Args:
        name: ``NETWORK:TAG``; the network alone, or ``NETWORK:default``, means its preferred weights. Aliases of
            networks and any case of tags are understood.

    Raises:
        UnknownModelError: There is no such network; the nearest names are offered.
        UnknownWeightsError: The network has no such weights, or none at all.

    Example:
        >>> get("lenet5").tag
        'mnist'
    """
    network, _, tag = name.partition(":")
    row = zoo.find(network)
    if tag not in ("", "default"):
        return find(row.name, tag)
    known = entries_for(row.name)
    if not known:
        raise UnknownWeightsError(
            f"no weights are published for {row.name}",
            hint="striate models --weights lists the networks that have some",
        )
    return known[0]


def find(name: str, tag: str) -> Checkpoint:
    """The entry ``name:tag``; capitals make no difference in tags.

    Raises:
        UnknownWeightsError: The network has no such weights.
    """
    tags = {each.tag.lower(): each for each in entries_for(name)}
    if tag.lower() not in tags:
        close = nearest(tag, list(tags))
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(tags) or 'none'}"
        raise UnknownWeightsError(f"{name} has no weights called {tag!r}, and no such file exists", hint=hint)
    return tags[tag.lower()]
