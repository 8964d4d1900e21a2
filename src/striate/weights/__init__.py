"""Published weights: the catalogue, fetching, safe reading, name maps. Importing this loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.weights.catalogue import Checkpoint as Checkpoint
    from striate.weights.catalogue import get as get
    from striate.weights.create import Opened as Opened
    from striate.weights.create import create_model as create_model
    from striate.weights.create import open_model as open_model
    from striate.weights.listing import list_models as list_models
    from striate.weights.load import load_state_dict as load_state_dict
    from striate.weights.readers import read_state as read_state
    from striate.weights.save import save_state as save_state

_HOMES = {
    "Checkpoint": "catalogue",
    "Opened": "create",
    "create_model": "create",
    "get": "catalogue",
    "list_models": "listing",
    "load_state_dict": "load",
    "open_model": "create",
    "read_state": "readers",
    "save_state": "save",
}

__all__ = [
    "Checkpoint",
    "Opened",
    "create_model",
    "get",
    "list_models",
    "load_state_dict",
    "open_model",
    "read_state",
    "save_state",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
