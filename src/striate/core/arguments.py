"""Errors for unknown keywords that name the argument that was meant, also to users of other libraries."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from striate.core.errors import ArgumentError
from striate.core.registry import nearest

P = ParamSpec("P")
R = TypeVar("R")

_OURS = {
    "num_classes": "classes",
    "n_classes": "classes",
    "nb_classes": "classes",
    "n_out": "classes",
    "in_chans": "in_channels",
    "in_channel": "in_channels",
    "n_in": "in_channels",
    "include_top": "classes",
    "stochastic_depth_prob": "drop_path_rate",
    "drop_path": "drop_path_rate",
    "pretrained": 'weights="default"',
    "encoder_weights": "weights",
    "checkpoint_path": "weights",
    "arch": "name",
    "model_name": "name",
    "encoder_name": "backbone",
    "random_state": "seed",
    "batch_size": "batch",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "time_limit": "budget",
    "output_dir": "out",
    "num_workers": "workers",
    "callback": "progress",
    "callbacks": "progress",
    "data_dir": "data",
    "path": "data",
    "layer": "stage",
    "topk": "top",
    "k": "top",
}
"""From timm's, torchvision's, Keras's, fastai's, AutoGluon's and scikit-learn's keywords to ours."""

_ELSEWHERE = {
    "num_classes": "the classes are those of the data; create_model takes classes=...",
    "in_chans": "create_model takes in_channels=...",
    "pretrained": 'name the weights with the network, such as "resnet50:default"; create_model takes weights="default"',
    "features_only": "model.forward_stages(images) gives the maps of every stage",
    "out_indices": "model.forward_stages(images, keep=[...]) gives the maps of the stages that you name",
    "global_pool": 'model.forward_head(model.forward_features(images), upto="pool") gives pooled features',
    "lr": "the learning rate is a field of the recipe: recipe='own.toml'",
    "learning_rate": "the learning rate is a field of the recipe: recipe='own.toml'",
    "optimizer": "the optimizer is a field of the recipe: recipe='own.toml'",
}
"""What serves the purpose of a keyword that has no counterpart among a function's own."""


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function name the argument that was meant when it gets a keyword that it does not take.

    Args:
        function: It has an explicit signature, which stays as it is.

    Returns:
        The same function, raising `ArgumentError` for unknown keywords.
    """
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [each.name for each in inspect.signature(function).parameters.values() if each.kind in kinds]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for given in kwargs:
            if given not in known:
                raise unknown_argument(function.__name__, given, known)
        return function(*args, **kwargs)

    return checked


def unknown_argument(function: str, given: str, known: Sequence[str]) -> ArgumentError:
    """The error for one unknown keyword.

    Args:
        function: Name of the function.
        given: The keyword that it does not take.
        known: The keywords that it takes.
    """
    ours = _OURS.get(given, "")
    close = nearest(given, list(known))
    if ours.partition("=")[0] in known:
        hint = f"use {ours}"
    elif given in _ELSEWHERE:
        hint = _ELSEWHERE[given]
    elif close:
        hint = f"did you mean {', '.join(close)}?"
    else:
        hint = f"it takes {', '.join(known)}"
    return ArgumentError(f"{function}() takes no argument {given!r}", hint=hint)
