"""What cached rows depend on, as keys: another key, another row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import PIL
import torch
from torch import nn

from striate.records.io import to_json

FORMAT = 2
"""Raised when the same inputs come to give other rows; older rows are then left alone, and new ones computed."""


def of_image(digest: str, view: str = "") -> bytes:
    """The key of one image's row.

    Args:
        digest: sha256 of its bytes, in hex.
        view: Names the augmented copy of the image; empty for the image itself.
    """
    raw = bytes.fromhex(digest)
    return hashlib.sha256(raw + view.encode()).digest() if view else raw


def of_folder(**facts: Any) -> str:
    """A name for the folder of rows that depend on `facts`, on the decoder, on PyTorch and on `FORMAT`."""
    facts |= {"format": FORMAT, "pillow": PIL.__version__, "torch": torch.__version__}
    text = json.dumps(to_json(facts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def of_weights(module: nn.Module, only: Iterable[str] | None = None) -> str:
    """sha256 over every parameter and buffer of a network, in hex.

    Args:
        module: The network.
        only: Prefixes of the names that count; None counts all.
    """
    prefixes = None if only is None else tuple(f"{name}." for name in only)
    total = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if prefixes is None or name.startswith(prefixes):
            value = tensor.detach().cpu().contiguous()
            total.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
            total.update(value.flatten().view(torch.uint8).numpy().data if value.numel() else b"")
    return total.hexdigest()
