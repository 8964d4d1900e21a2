"""Calls that record a computation in place of doing it: no branch in them may depend on a tensor's numbers or size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy


def is_recorded(x: Tensor) -> bool:
    """Whether `x` stands for all tensors: under torch.fx, torch.export, torch.compile and torch.jit.trace.

    Checks of the input are left out then, for they would hold for one example alone.
    """
    return sizes_are_open(x) or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def sizes_are_open(x: Tensor) -> bool:
    """Whether what is recorded may run on images of other sizes: under all of these but torch.jit.trace."""
    return isinstance(x, Proxy) or torch.compiler.is_compiling()


def as_one_step(module: nn.Module, x: Proxy) -> Tensor:
    """Make a module one step of the graph that torch.fx records, as if it were a layer of PyTorch's.

    For a module whose steps depend on numbers; ``if isinstance(x, Proxy): return as_one_step(self, x)``.
    """
    tracer: Any = x.tracer
    return tracer.create_proxy("call_module", tracer.path_of_module(module), (x,), {})


def sides(x: Tensor) -> tuple[int, int]:
    """Height and width of maps: numbers, or what stands for them while a call is recorded.

    torch.jit.trace gets numbers in any case, as it knows no size that is left open.
    """
    height, width = x.shape[2], x.shape[3]
    if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return int(height), int(width)
    return height, width
