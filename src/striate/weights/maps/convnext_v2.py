"""ConvNeXt v2."""

from __future__ import annotations

from striate.weights.maps import transformers
from striate.weights.maps.convnext import facebook, timm

SOURCES = {"timm": timm, "transformers": transformers.convnext, "facebook": facebook}
