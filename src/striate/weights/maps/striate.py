"""Our own names: every tensor is called what the network calls it."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps.rules import Row, Rule


def own(_model: ImageModel) -> list[Row]:
    """The identity."""
    return [Rule(r"(.+)", "{1}")]


SOURCES = {"striate": own}
