"""Convolutional networks and transfer learning: images in, a classifier that can be trusted out.

Importing this package costs little: every name below loads what it needs on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from striate.core.errors import (
    CheckpointError,
    DataError,
    ImageError,
    PlanError,
    StriateError,
    UnknownModelError,
    UnknownWeightsError,
)
from striate.core.version import __version__ as __version__

if TYPE_CHECKING:
    from striate import models as models
    from striate import sizing as sizing
    from striate import weights as weights
    from striate.jobs.classifier import TrainedClassifier as TrainedClassifier
    from striate.jobs.classifier import ensemble as ensemble
    from striate.jobs.classifier import load as load
    from striate.jobs.face import Run as Run
    from striate.jobs.face import fit as fit
    from striate.tasks.classify.ensemble import Ensemble as Ensemble
    from striate.weights.create import create_model as create_model

_HOMES = {
    "Ensemble": "tasks.classify.ensemble",
    "Run": "jobs.face",
    "TrainedClassifier": "jobs.classifier",
    "create_model": "weights.create",
    "ensemble": "jobs.classifier",
    "fit": "jobs.face",
    "load": "jobs.classifier",
}
_MODULES = ("models", "sizing", "weights")

__all__ = [
    "CheckpointError",
    "DataError",
    "Ensemble",
    "ImageError",
    "PlanError",
    "Run",
    "StriateError",
    "TrainedClassifier",
    "UnknownModelError",
    "UnknownWeightsError",
    "__version__",
    "create_model",
    "ensemble",
    "fit",
    "load",
    "models",
    "sizing",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"striate.{name}")
    if name in _HOMES:
        return getattr(import_module(f"striate.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
