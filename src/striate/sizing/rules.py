"""Cost of each tensor operation, and how the operation changes the receptive field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.sizing.field import Axis, Field, union

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Operation:
    """One tensor operation of a network.

    Args:
        function: The operator.
        arguments: Its arguments with their defaults, by the names of the operator.
        output: Its first result.
    """

    function: Any  # torch._ops.OpOverload, which PyTorch does not export
    arguments: Mapping[str, Any]
    output: Tensor

    def pair(self, name: str, default: str | None = None) -> tuple[int, int]:
        """A size argument, vertically and horizontally. An empty list means the argument called `default`."""
        value = self.arguments[name]
        if default is not None and value in ([], None):
            value = self.arguments[default]
        values = [value] if isinstance(value, int) else list(value)
        return (values[0], values[-1])

    @property
    def sides(self) -> tuple[int, int]:
        """Number of output positions, vertically and horizontally."""
        return (self.output.shape[-2], self.output.shape[-1])


# ---------------------------------------------------------------------- kinds of layers

KINDS = {
    aten.convolution: "conv",
    aten.addmm: "linear",
    aten.mm: "linear",
    aten.native_batch_norm: "norm",
    aten.native_layer_norm: "norm",
    aten.native_group_norm: "norm",
    aten.max_pool2d_with_indices: "pool",
    aten.avg_pool2d: "pool",
    aten._adaptive_avg_pool2d: "pool",
    aten.mean: "pool",
    aten.linalg_vector_norm: "pool",
    aten.add: "sum",
    aten.addcmul: "sum",
    aten.mul: "product",
    aten.cat: "concat",
}
VIEWS = frozenset(
    {
        aten.view,
        aten._unsafe_view,
        aten.t,
        aten.transpose,
        aten.permute,
        aten.expand,
        aten.slice,
        aten.split,
        aten.split_with_sizes,
        aten.squeeze,
        aten.unsqueeze,
        aten.detach,
    }
)
"""Operations that return a tensor view of their input."""
PADS = frozenset({aten.constant_pad_nd})
"""Operations that count as a part of the layer that reads their result."""


def kind(operation: Operation) -> str | None:
    """The layer type of an operation, as in `LayerRow.type`; None if the operation is not a layer."""
    packet = operation.function.overloadpacket
    if packet in VIEWS or packet in PADS:
        return None
    pointwise = torch.Tag.pointwise in operation.function.tags
    return KINDS.get(packet, "act" if pointwise else "other")


# ---------------------------------------------------------------------- costs


def weight(operation: Operation) -> Tensor | None:
    """The weight of a convolution or linear layer; None for other layers."""
    names = {aten.convolution: "weight", aten.addmm: "mat2", aten.mm: "mat2"}
    name = names.get(operation.function.overloadpacket)
    return None if name is None else operation.arguments[name]


def macs(operation: Operation) -> int:
    """Multiply-adds of a convolution or linear layer; 0 for other layers.

    Every output element of a convolution multiplies one kernel: ``W H K^2 M N / groups`` in total. A transposed
    convolution multiplies one kernel for every input element. Every output element of a linear layer multiplies one row
    of the weight: ``M N``.
    """
    kernel = weight(operation)
    if kernel is None:
        return 0
    if operation.function.overloadpacket is not aten.convolution:
        return operation.output.numel() * kernel.shape[0]
    elements = operation.arguments["input"] if operation.arguments["transposed"] else operation.output
    return elements.numel() * math.prod(kernel.shape[1:])


# ---------------------------------------------------------------------- receptive fields

MAPS = ("n", "c", "h", "w")


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Receptive fields of the positions of a tensor, and the meaning of its dimensions.

    Args:
        field: Receptive fields of the positions.
        dims: What each dimension holds: n for images, c for channels, h and w for positions. Several letters mean a
            merged dimension: the input of a linear layer is ``("nhw", "c")``. A dimension of size 1 may have no letter.
        parts: For concatenated maps, the number of channels and the receptive field of each, in order. A later slice of
            the channels uses them.
    """

    field: Field
    dims: tuple[str, ...] = MAPS
    parts: tuple[tuple[int, Field], ...] = ()

    def at(self, dim: int) -> str:
        """The letters of a dimension; a negative `dim` counts from the end."""
        return self.dims[dim]

    def along(self, letters: str, change: Callable[[Axis], Axis]) -> Field:
        """The receptive fields with `change` applied to the sides in `letters`."""
        h = change(self.field.h) if "h" in letters else self.field.h
        w = change(self.field.w) if "w" in letters else self.field.w
        return Field(h, w)


def _convolution(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    kernel = operation.arguments["weight"]
    if kernel.ndim != 4:
        return None
    sides = (kernel.shape[2], kernel.shape[3])
    if operation.arguments["transposed"]:
        return _transposed(operation, rf, sides)
    return _window(operation, rf, sides, operation.pair("stride"))


def _pool(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    return _window(operation, rf, operation.pair("kernel_size"), operation.pair("stride", default="kernel_size"))


def _window(
    operation: Operation, rf: ReceptiveField, kernel: tuple[int, int], stride: tuple[int, int]
) -> ReceptiveField | None:
    if rf.dims != MAPS:
        return None
    padding = operation.pair("padding")
    dilation = operation.pair("dilation") if "dilation" in operation.arguments else (1, 1)
    axes = [
        axis.window(k, stride=s, before=p, dilation=d, count=count)
        for axis, k, s, p, d, count in zip(
            (rf.field.h, rf.field.w), kernel, stride, padding, dilation, operation.sides, strict=True
        )
    ]
    return ReceptiveField(Field(*axes))


def _transposed(operation: Operation, rf: ReceptiveField, kernel: tuple[int, int]) -> ReceptiveField | None:
    if rf.dims != MAPS:
        return None
    stride, padding, dilation = (operation.pair(name) for name in ("stride", "padding", "dilation"))
    h, w = (
        axis.transposed(k, stride=s, before=p, dilation=d, count=count)
        for axis, k, s, p, d, count in zip(
            (rf.field.h, rf.field.w), kernel, stride, padding, dilation, operation.sides, strict=True
        )
    )
    return None if h is None or w is None else ReceptiveField(Field(h, w))


def _nearest(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """Nearest upsampling: a transposed window whose kernel equals its stride."""
    axes = []
    for axis, count in zip((rf.field.h, rf.field.w), operation.sides, strict=True):
        factor, rest = divmod(count, axis.count)
        if rest or rf.dims != MAPS:
            return None
        axes.append(axis.transposed(factor, stride=factor, count=count))
    return ReceptiveField(Field(*axes))


def _adaptive_pool(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """If the windows differ in size, use the largest."""

    def pooled(axis: Axis, count: int) -> Axis:
        starts = [position * axis.count // count for position in range(count)]
        ends = [-(-(position + 1) * axis.count // count) for position in range(count)]
        kernel = max(end - start for start, end in zip(starts, ends, strict=True))
        return axis.window(kernel, stride=max(1, axis.count // count), count=count)

    if rf.dims != MAPS:
        return None
    height, width = operation.sides
    return ReceptiveField(Field(pooled(rf.field.h, height), pooled(rf.field.w, width)))


def _reduction(operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    """A mean, a norm, and so on. Over positions, the result has the union of their receptive fields."""
    given = len(rf.dims)
    dims = operation.arguments.get("dim")
    along = {dims % given} if isinstance(dims, int) else {axis % given for axis in dims or range(given)}
    field = rf.along("".join(rf.at(axis) for axis in along), Axis.merged)
    if operation.output.ndim == given:
        return ReceptiveField(field, rf.dims)
    return ReceptiveField(field, tuple(letters for axis, letters in enumerate(rf.dims) if axis not in along))


def _pad(operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    pads, field = operation.arguments["pad"], rf.field
    for back, (before, after) in enumerate(
        zip(pads[::2], pads[1::2], strict=True), start=1
    ):  # the pads of the last axis come first
        letters = rf.at(-back)
        field = ReceptiveField(field).along(
            letters, lambda a, b=before, c=after: a.window(1, before=b, count=a.count + b + c)
        )
    return ReceptiveField(field, rf.dims)


def _slice(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    dim, given = operation.arguments["dim"], operation.arguments["self"].shape
    letters = rf.at(dim)
    if len(letters) > 1 and operation.output.shape != given:
        return None
    step, first = operation.arguments["step"], operation.arguments["start"] or 0
    first, count = max(first + given[dim], 0) if first < 0 else first, operation.output.shape[dim]
    if letters == "c" and step == 1:
        return _part(rf, first, first + count)
    return ReceptiveField(rf.along(letters, lambda a: a.window(1, stride=step, before=-first, count=count)), rf.dims)


def _part(rf: ReceptiveField, first: int, end: int) -> ReceptiveField | None:
    """The channels from `first` up to, but not including, `end`."""
    found, start = [], 0
    for channels, field in rf.parts:
        if start < end and start + channels > first:
            found.append((min(start + channels, end) - max(start, first), field))
        start += channels
    if not found:
        return ReceptiveField(rf.field, rf.dims)
    field = union(field for _, field in found)
    return None if field is None else ReceptiveField(field, rf.dims, tuple(found))


def _split(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """A split of the channels keeps the receptive field."""
    return rf if rf.at(operation.arguments["dim"]) in ("c", "") else None


def _view(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """A reshape. If positions are merged with channels, the receptive field becomes the union of all positions."""
    sizes = {"n": 1, "h": rf.field.h.count, "w": rf.field.w.count}
    rest: list[tuple[str, int]] = []
    for letters, size in zip(rf.dims, operation.arguments["self"].shape, strict=True):
        others = math.prod(sizes.get(letter, 1) for letter in letters)
        for letter in letters or "c":
            rest.append((letter, sizes[letter] if letter in sizes else size // others))
    dims = []
    for size in operation.output.shape:
        name = ""
        while size > 1:
            if not rest:
                return None
            letter, count = rest.pop(0)
            if size % count and (letter != "c" or count % size):
                return None
            if size % count:  # channels in groups
                rest.insert(0, ("c", count // size))
                count = size
            name, size = name + letter, size // count
        if not name and rest and rest[0][1] == 1:
            name = rest.pop(0)[0]
        dims.append(name)
    merged = "".join(name for name in dims if "c" in name)
    return ReceptiveField(rf.along(merged, Axis.merged), tuple("c" if "c" in name else name for name in dims))


def _permute(operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    dims, arguments = list(rf.dims), operation.arguments
    if "dims" in arguments:
        return ReceptiveField(rf.field, tuple(dims[axis] for axis in arguments["dims"]))
    one, other = arguments.get("dim0", 0), arguments.get("dim1", -1)
    if len(dims) > 1:
        dims[one], dims[other] = dims[other], dims[one]
    return ReceptiveField(rf.field, tuple(dims))


def _linear(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """A linear layer over the channels."""
    if set(rf.at(-1)) & {"h", "w"} and rf.field.counts != (1, 1):
        return None
    return ReceptiveField(rf.field, rf.dims)


def _same(_operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    return rf


FIELD_RULES: dict[Any, Callable[[Operation, ReceptiveField], ReceptiveField | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool,
    aten.avg_pool2d: _pool,
    aten._adaptive_avg_pool2d: _adaptive_pool,
    aten.upsample_nearest2d: _nearest,
    aten.mean: _reduction,
    aten.sum: _reduction,
    aten.amax: _reduction,
    aten.linalg_vector_norm: _reduction,
    aten.constant_pad_nd: _pad,
    aten.slice: _slice,
    aten.split: _split,
    aten.split_with_sizes: _split,
    aten.view: _view,
    aten._unsafe_view: _view,
    aten.squeeze: _view,
    aten.unsqueeze: _view,
    aten.permute: _permute,
    aten.transpose: _permute,
    aten.t: _permute,
    aten.addmm: _linear,
    aten.mm: _linear,
    # global statistics are ignored, like the gates of squeeze-and-excitation
    aten.native_batch_norm: _same,
    aten.native_layer_norm: _same,
    aten.native_group_norm: _same,
    aten.clone: _same,
    aten.detach: _same,
    aten.expand: _same,
}


def rf_after(operation: Operation, inputs: list[ReceptiveField]) -> ReceptiveField | None:
    """Receptive fields of the output of an operation.

    Args:
        operation: The operation.
        inputs: Receptive fields of the inputs that depend on the image, in order.

    Returns:
        The receptive fields; None if there is no rule for the operation.
    """
    packet = operation.function.overloadpacket
    rule = FIELD_RULES.get(packet)
    if rule is not None:
        return rule(operation, inputs[0]) if len(inputs) == 1 else None
    if packet is aten.cat and inputs[0].at(operation.arguments["dim"]) != "c":
        return None
    if packet is aten.cat or torch.Tag.pointwise in operation.function.tags:
        field = union(rf.field for rf in inputs)
        dims = list(dict.fromkeys(s.dims for s in inputs if field and s.field.counts == field.counts))
        if len(dims) > 1 and field is not None and field.counts == (1, 1):  # a single position matches any dimensions
            dims = [max(dims, key=lambda each: (len(each), len("".join(each))))]  # take the most specific dimensions
        parts: list[tuple[int, Field]] = []
        if packet is aten.cat and len(inputs) == len(operation.arguments["tensors"]):
            for each, rf in zip(operation.arguments["tensors"], inputs, strict=True):
                parts += rf.parts or [(each.shape[operation.arguments["dim"]], rf.field)]
        return ReceptiveField(field, dims.pop(), tuple(parts)) if field is not None and len(dims) == 1 else None
    return None
