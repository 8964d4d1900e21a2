"""What this machine computes with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


@contextmanager
def shapes_only() -> Iterator[None]:
    """Make tensors without memory or values: a network built here has names and shapes, and costs milliseconds.

    It is the meta device without the random draws. Those would have no effect there, but the first of them makes
    PyTorch load its compiler, which takes longer than everything else.

    Example:
        >>> from striate.models import REGISTRY
        >>> with shapes_only():
        ...     model = REGISTRY.get("vgg19").create()
        >>> model.head.logits_layer.weight.is_meta
        True
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Undrawn(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # telling the compiler to pass over this mode would load the compiler

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            drawn = torch.Tag.nondeterministic_seeded in func.tags and func._schema.is_mutable
            return args[0] if drawn and args[0].is_meta else func(*args, **(kwargs or {}))

    with torch.device("meta"), Undrawn():
        yield
