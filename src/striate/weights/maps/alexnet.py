"""AlexNet."""

from __future__ import annotations

from striate.models.network import ImageModel
from striate.weights.maps.places import features
from striate.weights.maps.rules import Row, Rule


def torchvision(model: ImageModel) -> list[Row]:
    """One-tower AlexNet."""
    return [
        *features(model),
        Rule(r"classifier\.1\.(\w+)", "head.fc6.0.{1}"),
        Rule(r"classifier\.4\.(\w+)", "head.fc7.0.{1}"),
        Rule(r"classifier\.6\.(\w+)", "head.logits.{1}"),
    ]


SOURCES = {"torchvision": torchvision}
