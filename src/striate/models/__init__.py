"""Networks: one paper, one file. Importing this package registers every family."""

from __future__ import annotations

from striate.models import resnet as resnet
from striate.models.base import REGISTRY, Entry, ImageModel, StageInfo, entries

__all__ = ["REGISTRY", "Entry", "ImageModel", "StageInfo", "entries"]
