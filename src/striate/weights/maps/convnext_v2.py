"""ConvNeXt v2."""

from __future__ import annotations

from striate.weights.maps.convnext import timm

SOURCES = {"timm": timm}
