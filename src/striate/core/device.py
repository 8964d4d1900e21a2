"""Devices of this machine: selection, memory and number formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.errors import PlanError
from striate.core.memory import available_bytes

if TYPE_CHECKING:
    import torch


def pick(name: str | None = None) -> torch.device:
    """Select a device by name, or the fastest device of this machine.

    Args:
        name: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; None or ``"auto"`` selects the first of
            CUDA, MPS and CPU that is available.

    Raises:
        PlanError: The name is not a device, or this machine does not have the device.
    """
    import torch  # imported late, so that `cpu_threads` does not load PyTorch

    if name in (None, "auto"):
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PlanError(f"unknown device {name!r}", hint="use cpu, cuda, cuda:N or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False):
        raise PlanError(f"this machine or this build of PyTorch has no {device.type} device", hint="use --device cpu")
    return device


def gpu_count() -> int:
    """Number of CUDA devices that this process may use."""
    import torch

    return torch.cuda.device_count()


def native_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 numbers natively instead of converting them to float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"} != set()
    return False


def _cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The words of Linux's description of the processor; an empty set on other systems."""
    try:
        return set(cpuinfo.read_text().split())
    except OSError:
        return set()


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a device in bytes; None if the device does not report it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_bytes() if device.type == "cpu" else None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that a device or the system ran out of memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    messages = ("DefaultCPUAllocator", "MPS backend out of memory", "std::bad_alloc")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in messages)


def cpu_threads() -> int:
    """Number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
