"""Residual networks whose units are aggregated: names and layers are those of residual networks."""

from __future__ import annotations

from striate.weights.maps.resnet import torchvision

SOURCES = {"torchvision": torchvision, "timm": torchvision}
