"""What this machine computes with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import PlanError
from striate.core.memory import available_bytes

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


def gpus() -> int:
    """CUDA devices of this machine that this process may use."""
    import torch

    return torch.cuda.device_count()


def native_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 by itself, rather than by way of float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return _cpu_words() & {"avx512_bf16", "amx_bf16", "bf16"} != set()
    return False


def _cpu_words(told: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What Linux says of the processor; nothing elsewhere."""
    try:
        return set(told.read_text().split())
    except OSError:
        return set()


def free_bytes(device: torch.device) -> int | None:
    """Memory that a device has left for this process; None where it does not say."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_bytes() if device.type == "cpu" else None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's memory, or the system's, was not enough."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("DefaultCPUAllocator", "MPS backend out of memory", "std::bad_alloc")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


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
