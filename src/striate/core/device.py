"""What this machine computes with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from striate.core.errors import PlanError

if TYPE_CHECKING:
    import torch


def pick(name: str | None = None) -> torch.device:
    """The device called `name`, or the fastest at hand.

    Args:
        name: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; None or ``"auto"`` takes the first of
            CUDA, MPS and CPU that is here.

    Raises:
        PlanError: The named device is not on this machine.
    """
    import torch  # here, so that counting processors costs no start of PyTorch

    if name in (None, "auto"):
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PlanError(f"no device is called {name!r}", hint="cpu, cuda, cuda:N and mps are known") from error
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False):
        raise PlanError(f"this machine (or this build of PyTorch) has no {device.type} device", hint="use --device cpu")
    return device


def cpu_threads() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
