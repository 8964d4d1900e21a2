"""Networks of shapes alone: output shapes of common operations, computed without loading PyTorch's compiler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

_ELEMENTWISE = frozenset(
    getattr(aten, f"{name}{suffix}")
    for name in ("add", "sub", "mul", "div", "sigmoid", "tanh", "relu", "silu", "leaky_relu", "hardtanh", "clamp")
    for suffix in ("", "_")
) | {aten.gelu, aten.pow, aten.sqrt, aten.rsqrt}


@contextmanager
def shapes_only() -> Iterator[None]:
    """Create tensors on the meta device: a network built in this block has names and shapes, but no values.

    Building a network takes milliseconds here, and so does running it. Random initialisation is skipped: on the meta
    device it has no effect.

    Example:
        >>> from striate.models import REGISTRY
        >>> with shapes_only():
        ...     model = REGISTRY.get("vgg19").create()
        >>> model.head.logits_layer.weight.is_meta
        True
    """
    with torch.device("meta"), _PlainShapes():
        yield


@final
class _PlainShapes(TorchDispatchMode):
    """Answers common operations on the meta device without PyTorch's own definitions of them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether the compiler skips this mode. True would load the compiler, which takes 1.5 s."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and func._schema.is_mutable and args[0].is_meta:
            return args[0]
        result = plain_result(func, by_name(func, args, kwargs or {}))
        return func(*args, **(kwargs or {})) if result is None else result


def by_name(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of an operator by their names, defaults included."""
    return {
        argument.name: args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
        for position, argument in enumerate(function._schema.arguments)
    }


def plain_result(function: Any, arguments: Mapping[str, Any]) -> Any:
    """Output of a common operation on the meta device.

    PyTorch computes these shapes with Python definitions of the operations, and the first one loads its compiler, which
    takes longer than everything else that `measure` does.

    Args:
        function: The operator.
        arguments: Its arguments, by the names of the operator.

    Returns:
        Empty tensors of the right shapes and types; None for an operation that is not handled here.
    """
    packet = function.overloadpacket
    if packet is aten.cat:
        given, along = arguments["tensors"], arguments["dim"] % arguments["tensors"][0].ndim
        return _empty(
            given,
            *(sum(g.shape[axis] for g in given) if axis == along else side for axis, side in enumerate(given[0].shape)),
        )
    given = [each for each in arguments.values() if isinstance(each, Tensor)]
    if not given or len({each.dtype for each in given}) > 1 or not given[0].is_floating_point():
        return None
    if not all(each.is_meta for each in given):
        return None
    if packet in _ELEMENTWISE:
        return given[0] if function._schema.is_mutable else _empty(given, *torch.broadcast_shapes(*_shapes(given)))
    if packet is aten.convolution and not arguments["transposed"]:
        if given[0].shape[1] != given[1].shape[1] * arguments["groups"]:
            return None  # PyTorch raises its own error
        sides = _slid(arguments["input"].shape[2:], arguments["weight"].shape[2:], arguments)
        return None if min(sides, default=0) < 1 else _empty(given, len(given[0]), len(arguments["weight"]), *sides)
    if packet in (aten.max_pool2d_with_indices, aten.avg_pool2d) and given[0].ndim == 4:
        sides = _slid(given[0].shape[2:], arguments["kernel_size"], arguments)
        pooled = None if min(sides) < 1 else _empty(given, *given[0].shape[:2], *sides)
        if packet is aten.avg_pool2d or pooled is None:
            return pooled
        return pooled, torch.empty(pooled.shape, dtype=torch.long, device="meta")
    if packet is aten._adaptive_avg_pool2d and given[0].ndim == 4:
        return _empty(given, *given[0].shape[:2], *arguments["output_size"])
    if packet is aten.native_batch_norm and not arguments["training"]:
        return _empty(given, *given[0].shape), _empty(given, 0), _empty(given, 0)
    if packet is aten.native_layer_norm:
        return _empty(given, *given[0].shape), _empty(given, 0), _empty(given, 0)  # nothing reads the statistics
    if packet is aten.addmm and arguments["mat1"].shape[1] == arguments["mat2"].shape[0]:
        return _empty(given, arguments["mat1"].shape[0], arguments["mat2"].shape[1])
    if packet is aten.mean and arguments.get("dim"):
        along = {axis % given[0].ndim for axis in arguments["dim"]}
        kept = [(axis, side) for axis, side in enumerate(given[0].shape) if axis not in along or arguments["keepdim"]]
        return _empty(given, *(1 if axis in along else side for axis, side in kept))
    return None


def _slid(given: Sequence[int], kernel: Sequence[int], arguments: Mapping[str, Any]) -> list[int]:
    """Output length of a sliding window along each side: (W - F + 2 P) / S + 1, F being the dilated window.

    With ``ceil_mode``, a last window that would start in the padding after the image does not count.
    """
    up = arguments.get("ceil_mode", False)
    pairs = [
        tuple(value) * (1 if len(value) > 1 else len(given))
        for value in (kernel, arguments["stride"] or kernel, arguments["padding"], arguments.get("dilation") or [1])
    ]
    sides = []
    for side, window, stride, padding, dilation in zip(given, *pairs, strict=True):
        free = side + 2 * padding - dilation * (window - 1) - 1
        count = (free + (stride - 1 if up else 0)) // stride + 1
        sides.append(count - 1 if up and (count - 1) * stride >= side + padding else count)
    return sides


def _shapes(given: Sequence[Tensor]) -> list[torch.Size]:
    return [each.shape for each in given]


def _empty(like: Sequence[Tensor], *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like[0].dtype, device="meta")


class TooManyTensorsError(Exception):
    """A network has more tensors than it may have."""


@contextmanager
def at_most_tensors(count: int) -> Iterator[None]:
    """Stop building a network that would never end: each of its tensors is made by some calls of PyTorch.

    Args:
        count: Calls that make or change tensors, in this thread.

    Raises:
        TooManyTensorsError: There are more.
    """

    class Counted(TorchFunctionMode):
        left = count

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.left -= 1
            if self.left < 0:
                raise TooManyTensorsError
            return func(*args, **(kwargs or {}))

    with Counted():
        yield
