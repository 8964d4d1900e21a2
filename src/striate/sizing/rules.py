"""What each operation costs, and what it does to the receptive field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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


# ---------------------------------------------------------------------- costs


def weight(operation: Operation) -> Tensor | None:
    """The tensor of weights of a convolution or linear layer, None for other layers."""
    names = {aten.convolution: "weight", aten.addmm: "mat2", aten.mm: "mat2"}
    name = names.get(operation.function.overloadpacket)
    return None if name is None else operation.arguments[name]


def macs(operation: Operation) -> int:
    """Multiply-adds of a convolution or linear layer, 0 for other layers.

    Every output element of a convolution multiplies one kernel, ``W H K^2 M N / groups`` in all. A transposed
    convolution does so for every input element. Every output element of a linear layer multiplies one row, ``M N``.
    """
    kernel = weight(operation)
    if kernel is None:
        return 0
    if operation.function.overloadpacket is not aten.convolution:
        return operation.output.numel() * kernel.shape[0]
    places = operation.arguments["input"] if operation.arguments["transposed"] else operation.output
    return places.numel() * math.prod(kernel.shape[1:])


# ---------------------------------------------------------------------- receptive fields

MAPS = ("n", "c", "h", "w")


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What the positions of a tensor see of the image, and where in the tensor they lie.

    Args:
        field: Of its positions.
        dims: What each dimension counts: n images, c channels, h and w positions, several where they are merged
            (``("nhw", "c")`` are rows of channels, as a linear layer takes them), nothing for a dimension of 1.
        parts: Where maps of several fields stand side by side: how many channels have which field, in order. For one
            that takes them apart again.
    """

    field: Field
    dims: tuple[str, ...] = MAPS
    parts: tuple[tuple[int, Field], ...] = ()

    def at(self, dim: int) -> str:
        """What a dimension counts; `dim` may count from the end."""
        return self.dims[dim]

    def along(self, letters: str, change: Callable[[Axis], Axis]) -> Field:
        """The field with its sides among `letters` changed."""
        h = change(self.field.h) if "h" in letters else self.field.h
        w = change(self.field.w) if "w" in letters else self.field.w
        return Field(h, w)


def _convolution(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    kernel = operation.arguments["weight"]
    if kernel.ndim != 4:
        return None
    sides = (kernel.shape[2], kernel.shape[3])
    if operation.arguments["transposed"]:
        return _spread(operation, rf, sides)
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


def _spread(operation: Operation, rf: ReceptiveField, kernel: tuple[int, int]) -> ReceptiveField | None:
    if rf.dims != MAPS:
        return None
    stride, padding, dilation = (operation.pair(name) for name in ("stride", "padding", "dilation"))
    h, w = (
        axis.spread(k, stride=s, before=p, dilation=d, count=count)
        for axis, k, s, p, d, count in zip(
            (rf.field.h, rf.field.w), kernel, stride, padding, dilation, operation.sides, strict=True
        )
    )
    return None if h is None or w is None else ReceptiveField(Field(h, w))


def _nearest(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """Upsampling that repeats positions: a transposed window as wide as its step."""
    axes = []
    for axis, count in zip((rf.field.h, rf.field.w), operation.sides, strict=True):
        factor, rest = divmod(count, axis.count)
        if rest or rf.dims != MAPS:
            return None
        axes.append(axis.spread(factor, stride=factor, count=count))
    return ReceptiveField(Field(*axes))


def _adaptive_pool(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """Where windows differ in size, the largest counts."""

    def pooled(axis: Axis, count: int) -> Axis:
        starts = [place * axis.count // count for place in range(count)]
        ends = [-(-(place + 1) * axis.count // count) for place in range(count)]
        kernel = max(end - start for start, end in zip(starts, ends, strict=True))
        return axis.window(kernel, stride=max(1, axis.count // count), count=count)

    if rf.dims != MAPS:
        return None
    height, width = operation.sides
    return ReceptiveField(Field(pooled(rf.field.h, height), pooled(rf.field.w, width)))


def _reduction(operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    """A mean, a norm, ...: over positions it sees them all, over channels nothing new."""
    given = len(rf.dims)
    dims = operation.arguments.get("dim")
    along = {dims % given} if isinstance(dims, int) else {axis % given for axis in dims or range(given)}
    field = rf.along("".join(rf.at(axis) for axis in along), Axis.whole)
    if operation.output.ndim == given:
        return ReceptiveField(field, rf.dims)
    return ReceptiveField(field, tuple(letters for axis, letters in enumerate(rf.dims) if axis not in along))


def _pad(operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    pads, field = operation.arguments["pad"], rf.field
    for back, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True), start=1):  # the last axis first
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
    """Channels from `first` to before `end`."""
    found, start = [], 0
    for channels, field in rf.parts:
        if start < end and start + channels > first:
            found.append((min(start + channels, end) - max(start, first), field))
        start += channels
    if not found:
        return ReceptiveField(rf.field, rf.dims)
    field = meet(field for _, field in found)
    return None if field is None else ReceptiveField(field, rf.dims, tuple(found))


def _split(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """Groups of channels."""
    return rf if rf.at(operation.arguments["dim"]) in ("c", "") else None


def _view(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """The same elements in other dimensions: positions that are merged with channels are read all at once."""
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
    return ReceptiveField(rf.along(merged, Axis.whole), tuple("c" if "c" in name else name for name in dims))


def _permute(operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    dims, arguments = list(rf.dims), operation.arguments
    if "dims" in arguments:
        return ReceptiveField(rf.field, tuple(dims[axis] for axis in arguments["dims"]))
    one, other = arguments.get("dim0", 0), arguments.get("dim1", -1)
    if len(dims) > 1:
        dims[one], dims[other] = dims[other], dims[one]
    return ReceptiveField(rf.field, tuple(dims))


def _linear(operation: Operation, rf: ReceptiveField) -> ReceptiveField | None:
    """A linear layer reads channels, row by row."""
    if set(rf.at(-1)) & {"h", "w"} and rf.field.counts != (1, 1):
        return None
    return ReceptiveField(rf.field, rf.dims)  # every output reads all channels


def _same(_operation: Operation, rf: ReceptiveField) -> ReceptiveField:
    return rf


SIGHT_RULES: dict[Any, Callable[[Operation, ReceptiveField], ReceptiveField | None]] = {
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
    # global statistics are left out, as global gates are
    aten.native_batch_norm: _same,
    aten.native_layer_norm: _same,
    aten.native_group_norm: _same,
    aten.clone: _same,
    aten.detach: _same,
    aten.expand: _same,
}


def rf_after(operation: Operation, sights: list[ReceptiveField]) -> ReceptiveField | None:
    """What the positions of an operation's output see, None where no rule is known.

    Args:
        operation: The operation.
        sights: Of its inputs that depend on the image, in order.
    """
    packet = operation.function.overloadpacket
    rule = SIGHT_RULES.get(packet)
    if rule is not None:
        return rule(operation, sights[0]) if len(sights) == 1 else None
    if packet is aten.cat and sights[0].at(operation.arguments["dim"]) != "c":
        return None
    if packet is aten.cat or torch.Tag.pointwise in operation.function.tags:
        field = meet(rf.field for rf in sights)
        dims = list(dict.fromkeys(s.dims for s in sights if field and s.field.counts == field.counts))
        if len(dims) > 1 and field is not None and field.counts == (1, 1):  # a single position lies anywhere
            dims = [max(dims, key=lambda each: (len(each), len("".join(each))))]  # what says most of where
        parts: list[tuple[int, Field]] = []
        if packet is aten.cat and len(sights) == len(operation.arguments["tensors"]):
            for each, rf in zip(operation.arguments["tensors"], sights, strict=True):
                parts += rf.parts or [(each.shape[operation.arguments["dim"]], rf.field)]
        return ReceptiveField(field, dims.pop(), tuple(parts)) if field is not None and len(dims) == 1 else None
    return None
