"""Random draws of PyTorch that belong to one thread.

PyTorch draws dropout and initial weights from one generator per process. Two jobs in two threads would take turns with
it, and neither would give the same numbers twice. Within `draws_from` a thread draws from a generator of its own, which
gives the very numbers that ``torch.manual_seed`` would. No lock is needed: function modes are kept per thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_METHODS = {
    Tensor.bernoulli_,
    Tensor.exponential_,
    Tensor.normal_,
    Tensor.random_,
    Tensor.uniform_,
}
_INITS = {nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_}
"""Those initialisers that are dispatched as a whole; the others call methods of tensors."""
_FUNCTIONS = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.bernoulli, torch.multinomial, torch.normal}


class _Draws(TorchFunctionMode):
    """Passes a generator to every draw on the CPU."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout or func is torch.dropout:
            return self._dropout(func, *args, **kwargs)
        first = args[0] if args else kwargs.get("tensor")
        if func in _METHODS or func in _INITS:
            on_cpu = isinstance(first, Tensor) and first.is_cpu
        else:
            on_cpu = func in _FUNCTIONS and _device(args, kwargs) == "cpu"
        if on_cpu and kwargs.get("generator") is None:
            kwargs = kwargs | {"generator": self._generator}
        return func(*args, **kwargs)

    def _dropout(self, func: Any, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """As ATen computes it on the CPU."""
        if not (training and 0 < p < 1 and x.is_cpu and x.numel()) or inplace:
            return F.dropout(x, p, training, inplace) if func is F.dropout else func(x, p, training)
        noise = torch.empty_like(x).bernoulli_(1 - p, generator=self._generator)
        return x * noise.div_(1 - p)


def _device(args: Any, kwargs: Any) -> str:
    of = next((each.device for each in args if isinstance(each, Tensor)), None)
    return torch.device(kwargs.get("device") or of or torch.get_default_device()).type


@contextmanager
def draws_from(seed: int) -> Iterator[None]:
    """Within this block this thread draws as after ``torch.manual_seed(seed)``.

    On other devices than the CPU, whose generators cannot be passed to fused kernels, and within functions that this
    module does not know, draws come from the generator of the process, which is seeded too: there the numbers are those
    of a job that runs alone.
    """
    torch.manual_seed(seed)
    with _Draws(torch.Generator().manual_seed(seed)):
        yield
