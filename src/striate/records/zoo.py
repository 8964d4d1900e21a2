"""The table of networks that the package ships, so that they can be listed and looked up without torch.

``python -m striate.jobs.zoo`` makes it from the networks themselves, and a test makes it again and compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from striate.core.errors import UnknownModelError
from striate.core.registry import Registry
from striate.records.io import from_json, read

TABLE = Path(__file__).with_name("zoo.json")
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooRow:
    """One network, as published.

    Args:
        name: As in the registry.
        aliases: Other names it answers to.
        family: The module that defines it.
        year: Of the paper.
        paper: Authors, title, year and reference.
        input: Channels, height and width it was made for.
        classes: Length of its published output.
        params: Everything that training can change.
        macs: Multiply-adds of convolutions and linear layers for one image of `input`.
        units: Output elements of convolutions and linear layers for one image of `input`.
        depth: Layers with weights, normalisations included.
        receptive_field: Height and width in pixels of the receptive field of the last feature maps; None if unknown.
        file_bytes: Size of its parameters and statistics in float32.
        stages: Names, from the image upwards.
        task: What it is for: ``classify`` (one class an image) or ``segment`` (one class a position).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoo:
    """What the table's file holds: its format's version, and a row for every network, oldest paper first."""

    format: int
    networks: tuple[ZooRow, ...]


@cache
def _registry() -> Registry[ZooRow]:
    rows: Registry[ZooRow] = Registry("network", UnknownModelError)
    for row in from_json(Zoo, read(TABLE)).networks:
        rows.add(row.name, row, aliases=row.aliases)
    return rows


def rows() -> list[ZooRow]:
    """Every network, oldest paper first."""
    known = _registry()
    return [known.get(name) for name in known]


def families() -> list[str]:
    """Every family, oldest paper first."""
    return list(dict.fromkeys(row.family for row in rows()))


def find(name: str) -> ZooRow:
    """The network called `name`, or by one of its aliases.

    Raises:
        UnknownModelError: There is none; the nearest names are offered.
    """
    return _registry().get(name)
