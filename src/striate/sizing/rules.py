"""What each operation costs, and what it does to the receptive field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.sizing.field import Axis, Field, meet

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Operation:
    """One tensor operation of a network.

    Args:
        function: The operator.
        arguments: By the operator's own names, defaults filled in.
        output: Its first result.
    """

    function: Any  # torch._ops.OpOverload, which PyTorch does not export
    arguments: Mapping[str, Any]
    output: Tensor

    def pair(self, name: str, default: str | None = None) -> tuple[int, int]:
        """A size argument for down and across; empty lists (PyTorch's "as `default`") resolved."""
        value = self.arguments[name]
        if default is not None and value in ([], None):
            value = self.arguments[default]
        values = [value] if isinstance(value, int) else list(value)
        return (values[0], values[-1])

    @property
    def sides(self) -> tuple[int, int]:
        """Positions of the output, down and across."""
        return (self.output.shape[-2], self.output.shape[-1])


# ---------------------------------------------------------------------- kinds of layers

KINDS = {
    aten.convolution: "conv",
    aten.addmm: "dense",
    aten.mm: "dense",
    aten.native_batch_norm: "norm",
    aten.native_layer_norm: "norm",
    aten.native_group_norm: "norm",
    aten.max_pool2d_with_indices: "pool",
    aten.avg_pool2d: "pool",
    aten._adaptive_avg_pool2d: "pool",
    aten.mean: "pool",
    aten.add: "sum",
    aten.mul: "product",
    aten.cat: "concat",
}
VIEWS = frozenset({aten.view, aten._unsafe_view, aten.t, aten.slice, aten.squeeze, aten.unsqueeze, aten.detach})
"""Operations that look at maps in another way and make none."""
PADS = frozenset({aten.constant_pad_nd})
"""Operations that belong to the layer which reads their result."""


def kind(operation: Operation) -> str | None:
    """The type of layer that an operation is, or None when it is no layer of its own."""
    packet = operation.function.overloadpacket
    if packet in VIEWS or packet in PADS:
        return None
    pointwise = torch.Tag.pointwise in operation.function.tags
    return KINDS.get(packet, "act" if pointwise else "other")


# ---------------------------------------------------------------------- shapes

_ELEMENTWISE = frozenset(
    getattr(aten, f"{name}{place}")
    for name in ("add", "sub", "mul", "div", "sigmoid", "tanh", "silu", "leaky_relu", "hardtanh", "clamp")
    for place in ("", "_")
) | {aten.gelu, aten.pow, aten.sqrt, aten.rsqrt}


def plain_result(function: Any, arguments: Mapping[str, Any]) -> Any:
    """What an operation on the meta device gives, for common ones whose shapes are plain; None for others.

    PyTorch finds these shapes by running the operations' definitions in Python, and loads its compiler for the first
    of them, which takes longer than the whole of sizing.

    Args:
        function: The operator.
        arguments: By the operator's own names.
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
    if packet in _ELEMENTWISE:
        return given[0] if function._schema.is_mutable else _empty(given, *torch.broadcast_shapes(*_shapes(given)))
    if packet is aten.native_batch_norm and not arguments["training"]:
        return _empty(given, *given[0].shape), _empty(given, 0), _empty(given, 0)
    if packet is aten.native_layer_norm:
        return _empty(given, *given[0].shape), _empty(given, 0), _empty(given, 0)  # statistics that nothing reads
    if packet is aten.addmm:
        return _empty(given, arguments["mat1"].shape[0], arguments["mat2"].shape[1])
    if packet is aten.mean and arguments.get("dim"):
        along = {axis % given[0].ndim for axis in arguments["dim"]}
        kept = [(axis, side) for axis, side in enumerate(given[0].shape) if axis not in along or arguments["keepdim"]]
        return _empty(given, *(1 if axis in along else side for axis, side in kept))
    return None


def _shapes(given: Sequence[Tensor]) -> list[torch.Size]:
    return [each.shape for each in given]


def _empty(like: Sequence[Tensor], *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like[0].dtype, device="meta")


# ---------------------------------------------------------------------- costs


def weight(operation: Operation) -> Tensor | None:
    """The tensor of weights of a convolution or dense layer, None for other layers."""
    names = {aten.convolution: "weight", aten.addmm: "mat2", aten.mm: "mat2"}
    name = names.get(operation.function.overloadpacket)
    return None if name is None else operation.arguments[name]


def macs(operation: Operation) -> int:
    """Multiply-adds of a convolution or dense layer, 0 for other layers.

    Every output element of a convolution multiplies one kernel, ``W H K^2 M N / groups`` in all. A transposed
    convolution does so for every input element. Every output element of a dense layer multiplies one row, ``M N``.
    """
    kernel = weight(operation)
    if kernel is None:
        return 0
    if operation.function.overloadpacket is not aten.convolution:
        return operation.output.numel() * kernel.shape[0]
    places = operation.arguments["input"] if operation.arguments["transposed"] else operation.output
    return places.numel() * math.prod(kernel.shape[1:])


# ---------------------------------------------------------------------- receptive fields


def _convolution(operation: Operation, field: Field) -> Field | None:
    kernel = operation.arguments["weight"]
    if operation.arguments["transposed"] or kernel.ndim != 4:
        return None
    return _window(operation, field, (kernel.shape[2], kernel.shape[3]), operation.pair("stride"))


def _pool(operation: Operation, field: Field) -> Field:
    return _window(operation, field, operation.pair("kernel_size"), operation.pair("stride", default="kernel_size"))


def _window(operation: Operation, field: Field, kernel: tuple[int, int], stride: tuple[int, int]) -> Field:
    padding = operation.pair("padding")
    dilation = operation.pair("dilation") if "dilation" in operation.arguments else (1, 1)
    axes = [
        axis.window(k, stride=s, before=p, dilation=d, count=count)
        for axis, k, s, p, d, count in zip(
            (field.h, field.w), kernel, stride, padding, dilation, operation.sides, strict=True
        )
    ]
    return Field(*axes)


def _adaptive_pool(operation: Operation, field: Field) -> Field:
    """Where windows differ in size, the largest counts."""

    def pooled(axis: Axis, count: int) -> Axis:
        starts = [place * axis.count // count for place in range(count)]
        ends = [-(-(place + 1) * axis.count // count) for place in range(count)]
        kernel = max(end - start for start, end in zip(starts, ends, strict=True))
        return axis.window(kernel, stride=max(1, axis.count // count), count=count)

    height, width = operation.sides
    return Field(pooled(field.h, height), pooled(field.w, width))


def _mean(operation: Operation, field: Field) -> Field:
    given, dims = operation.arguments["self"].ndim, operation.arguments.get("dim")
    along = {axis % given for axis in dims} if dims else set(range(given))
    return Field(field.h.whole() if 2 in along else field.h, field.w.whole() if 3 in along else field.w)


def _pad(operation: Operation, field: Field) -> Field:
    pads = [*operation.arguments["pad"], 0, 0, 0, 0][:4]  # across first, before and after
    height, width = operation.sides
    return Field(field.h.window(1, before=pads[2], count=height), field.w.window(1, before=pads[0], count=width))


def _slice(operation: Operation, field: Field) -> Field:
    dim, given = operation.arguments["dim"] % operation.output.ndim, operation.arguments["self"].shape
    if len(given) != 4 or dim < 2:
        return field
    step, first = operation.arguments["step"], operation.arguments["start"] or 0
    first = first + given[dim] if first < 0 else first
    axis = (field.h, field.w)[dim - 2].window(1, stride=step, before=-first, count=operation.output.shape[dim])
    return Field(axis, field.w) if dim == 2 else Field(field.h, axis)


def _view(operation: Operation, field: Field) -> Field:
    """Maps stay maps as long as their sides stay; flattened, they are read all at once."""
    positions = (field.h.count, field.w.count)
    same = operation.output.ndim == 4 and operation.sides == positions
    return field if same or positions == (1, 1) else field.whole()


def _same(_operation: Operation, field: Field) -> Field:
    return field


FIELD_RULES: dict[Any, Callable[[Operation, Field], Field | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool,
    aten.avg_pool2d: _pool,
    aten._adaptive_avg_pool2d: _adaptive_pool,
    aten.mean: _mean,
    aten.constant_pad_nd: _pad,
    aten.slice: _slice,
    aten.view: _view,
    aten._unsafe_view: _view,
    aten.squeeze: _view,
    aten.unsqueeze: _view,
    aten.addmm: _same,
    aten.mm: _same,
    aten.native_batch_norm: _same,
    aten.detach: _same,
}


def field_after(operation: Operation, fields: list[Field]) -> Field | None:
    """The receptive field of an operation's output, None where no rule is known.

    Args:
        operation: The operation.
        fields: Of its inputs that depend on the picture, in order.
    """
    packet = operation.function.overloadpacket
    rule = FIELD_RULES.get(packet)
    if rule is not None:
        return rule(operation, fields[0]) if len(fields) == 1 else None
    if packet is aten.cat and operation.arguments["dim"] % operation.output.ndim != 1:
        return None
    if packet is aten.cat or torch.Tag.pointwise in operation.function.tags:
        return fields[0] if operation.output.ndim != 4 else meet(fields, *operation.sides)
    return None
