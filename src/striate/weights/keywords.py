"""Keywords of other libraries: the error that names ours."""

from __future__ import annotations

from collections.abc import Iterable

from striate.core.errors import PlanError
from striate.core.registry import nearest

OURS = {
    "num_classes": "classes=...",
    "n_classes": "classes=...",
    "in_chans": "in_channels=...",
    "input_channels": "in_channels=...",
    "input_shape": "in_channels=...; the height and width of the images are free",
    "pretrained": 'weights="default"',
    "include_top": "model.forward_features(images), which needs no head",
    "features_only": "model.forward_stages(images)",
    "out_indices": "model.forward_stages(images, keep=[...])",
    "global_pool": 'model.forward_head(model.forward_features(images), upto="pool")',
    "pooling": 'model.forward_head(model.forward_features(images), upto="pool")',
    "drop_path": "drop_path_rate=...",
    "stochastic_depth_prob": "drop_path_rate=...",
    "survival": "drop_path_rate=..., which is 1 - survival",
    "checkpoint_path": 'weights="path/to/file"',
}
"""timm's, torchvision's and Keras' keywords, and what to use instead."""


def refuse(function: str, unknown: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise an error if there are unknown keywords.

    Args:
        function: Name of the function that was called.
        unknown: The keywords that it does not have.
        allowed: The keywords that it has.

    Raises:
        PlanError: There is one; the message says what to use instead.
    """
    for name in unknown:
        allowed = tuple(allowed)
        close = nearest(name, allowed)
        hint = f"use {OURS[name]}" if name in OURS else f"did you mean {close[0]}?" if close else None
        raise PlanError(f"{function} has no keyword {name!r}", hint=hint or f"keywords: {', '.join(allowed)}")
