"""The table of all networks. It lists and finds networks without importing torch.

``python -m striate.jobs.zoo`` generates the table from the networks, and a test compares it with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from striate.core.errors import UnknownModelError
from striate.core.registry import Registry
from striate.records.io import from_json, read

TABLE = Path(__file__).with_name("zoo.json")
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooRow:
    """One network, as published.

    Args:
        name: Name in the registry.
        aliases: Other names of the network.
        family: The module that defines it.
        year: Year of the paper.
        paper: Authors, title, year and reference.
        input: Channels, height and width of the default input.
        classes: Number of classes of the published network.
        params: Number of trainable parameters, without auxiliary heads.
        macs: Multiply-adds of convolutions and linear layers for one image of `input`.
        units: Number of output elements of convolutions and linear layers for one image of `input`.
        depth: Number of modules with parameters, including normalisation layers.
        receptive_field: Height and width of the receptive field at the input of the head, in pixels; None if unknown.
        file_bytes: Size of all parameters and buffers in float32, in bytes.
        stages: Names of the stages, in order.
        task: ``classify`` (one class per image) or ``segment`` (one class per pixel).
        aux_params: Number of trainable parameters of the auxiliary heads, which the built network has beside `params`.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    year: int
    paper: str
    input: tuple[int, int, int]
    classes: int
    params: int
    macs: int
    units: int
    depth: int
    receptive_field: tuple[int, int] | None
    file_bytes: int
    stages: tuple[str, ...]
    task: str = "classify"
    aux_params: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAccuracy:
    """The published accuracy of a network's weights, in percent.

    Args:
        dataset: The labelled images.
        top1: Fraction of the images whose most probable class is right.
        top5: Fraction whose label is among the five most probable classes; None where not published.
        weights: Tag of the weights.
        source: Publisher of the weights.
    """

    dataset: str
    top1: float
    top5: float | None
    weights: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord(ZooRow):
    """A network with its published weights.

    Args:
        published: The first published accuracy among `weights`; None if there is none.
        weights: Best first; empty if nothing is published. Tags, or the entries of the catalogue if they were asked
            for.
    """

    published: PublishedAccuracy | None
    weights: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoo:
    """The content of the table: the version of its format, and a row per network, the oldest paper first."""

    format: int
    networks: tuple[ZooRow, ...]


@cache
def _registry() -> Registry[ZooRow]:
    rows: Registry[ZooRow] = Registry("network", UnknownModelError)
    for row in from_json(Zoo, read(TABLE)).networks:
        rows.add(row.name, row, aliases=row.aliases)
    return rows


def rows() -> list[ZooRow]:
    """All networks, the oldest paper first."""
    known = _registry()
    return [known.get(name) for name in known]


def families() -> list[str]:
    """All families, the oldest paper first."""
    return list(dict.fromkeys(row.family for row in rows()))


def find(name: str) -> ZooRow:
    """Look up a network by name or alias.

    Raises:
        UnknownModelError: There is no such network. The hint suggests similar names.
    """
    return _registry().get(name)
