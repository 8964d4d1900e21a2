"""Networks to safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from striate.core.atomic import write_bytes
from striate.core.errors import PlanError


def save_state(
    model: nn.Module,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    without: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network's tensors, under its own names, whole or not at all.

    Args:
        model: The network.
        path: A ``.safetensors`` file in a folder that exists.
        dtype: What floating-point tensors are stored as; None keeps theirs.
        without: Beginning of the names that are left out; None leaves out none.
        metadata: Words for the file's header.

    Raises:
        StorageError: The file cannot be written.
        PlanError: A tensor does not fit into `dtype`.
    """
    from safetensors.torch import save

    state = {}
    for name, tensor in model.state_dict().items():
        if without is not None and name.startswith(without):
            continue
        kept = tensor.detach().cpu().contiguous()
        if dtype is not None and kept.is_floating_point():
            cast = kept.to(dtype)
            if bool(torch.isfinite(kept).all()) and not bool(torch.isfinite(cast).all()):
                raise PlanError(f"{name} holds numbers too large for {dtype}", hint="store it in float32")
            kept = cast
        state[name] = kept
    write_bytes(path, save(state, metadata=dict(metadata or {})))
