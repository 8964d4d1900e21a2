"""Convolutional networks and transfer learning: images in, a classifier that can be trusted out.

Importing this package costs little: every name below loads what it needs on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from striate.core.errors import (
    ArgumentError,
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
    from striate import compat as compat
    from striate import models as models
    from striate import sizing as sizing
    from striate import sklearn as sklearn
    from striate import weights as weights
    from striate.api.runs import Run as Run
    from striate.api.verbs import check as check
    from striate.api.verbs import evaluate as evaluate
    from striate.api.verbs import features as features
    from striate.api.verbs import fit as fit
    from striate.api.verbs import predict as predict
    from striate.api.verbs import train as train
    from striate.data.transforms import ImageTransform as ImageTransform
    from striate.jobs.classifier import TrainedClassifier as TrainedClassifier
    from striate.jobs.classifier import ensemble as ensemble
    from striate.jobs.classifier import load as load
    from striate.jobs.features import Features as Features
    from striate.models.own import register_model as register_model
    from striate.tasks.ensemble import Ensemble as Ensemble
    from striate.weights.create import create_model as create_model
    from striate.weights.listing import list_models as list_models

_HOMES = {
    "Ensemble": "tasks.ensemble",
    "Features": "jobs.features",
    "ImageTransform": "data.transforms",
    "Run": "api.runs",
    "TrainedClassifier": "jobs.classifier",
    "check": "api.verbs",
    "create_model": "weights.create",
    "ensemble": "jobs.classifier",
    "evaluate": "api.verbs",
    "features": "api.verbs",
    "fit": "api.verbs",
    "list_models": "weights.listing",
    "load": "jobs.classifier",
    "predict": "api.verbs",
    "register_model": "models.own",
    "train": "api.verbs",
}
_MODULES = ("compat", "models", "sizing", "sklearn", "weights")

__all__ = [
    "ArgumentError",
    "CheckpointError",
    "DataError",
    "Ensemble",
    "Features",
    "ImageError",
    "ImageTransform",
    "PlanError",
    "Run",
    "StriateError",
    "TrainedClassifier",
    "UnknownModelError",
    "UnknownWeightsError",
    "__version__",
    "check",
    "compat",
    "create_model",
    "ensemble",
    "evaluate",
    "features",
    "fit",
    "list_models",
    "load",
    "models",
    "predict",
    "register_model",
    "sizing",
    "sklearn",
    "train",
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
