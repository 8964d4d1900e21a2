"""A table of the layers of a network, from a forward pass on the meta device."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.core.meta import by_name, plain_result
from striate.records.sizes import LayerRow
from striate.sizing import rules
from striate.sizing.field import Field
from striate.sizing.rules import ReceptiveField

ONE_LAYER = (nn.LocalResponseNorm,)
"""Modules that count as one layer although they run several operations."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Result of a traced forward pass.

    Args:
        rows: The layers, in the order of execution.
        watched: Receptive field of the first input of the watched module; None if it is unknown.
    """

    rows: tuple[LayerRow, ...]
    watched: Field | None


def on_meta(model: nn.Module) -> nn.Module:
    """Copy a network to the meta device, in evaluation mode. The original does not change.

    Args:
        model: A network on any device.

    Returns:
        The copy. Its parameters and buffers have shapes but no values.
    """
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(_shape_of(parameter), requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = _shape_of(buffer)
    return copy.deepcopy(model, memo).eval()


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor like `tensor`. `torch.empty_like` would load PyTorch's compiler, which takes 0.3 seconds."""
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


def trace(model: nn.Module, shape: tuple[int, int, int], *, watch: nn.Module) -> Trace:
    """Run a network at batch size 1 and list its layers.

    Args:
        model: A network on the meta device; see `on_meta`.
        shape: Channels, height and width of the image, in pixels.
        watch: The module for whose input the receptive field is computed.
    """
    dtype = next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)
    image = torch.empty(1, *shape, device="meta", dtype=dtype)
    tracer = _Tracer(image, watch)
    names = {module: name for name, module in model.named_modules()}
    hooks = []
    for module, name in names.items():
        hooks.append(module.register_forward_pre_hook(tracer.enter_hook(name)))
        hooks.append(module.register_forward_hook(tracer.leave_hook))
    try:
        with torch.no_grad(), tracer:
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return Trace(tuple(tracer.rows), tracer.watched)


@final
class _Tracer(TorchDispatchMode):
    """Records every operation together with the module that runs it."""

    def __init__(self, image: Tensor, watch: nn.Module) -> None:
        super().__init__()
        self.rows: list[LayerRow] = []
        self.watched: Field | None = None
        self._watch = watch
        self._path: list[tuple[str, nn.Module]] = []
        self._counted: set[nn.Module] = set()
        # Receptive fields by id of the tensor. The tensors are kept, so that no id is used twice; they take no memory.
        self._fields: dict[int, tuple[Tensor, ReceptiveField | None]] = {}
        self._store(image, ReceptiveField(Field.of_image(image.shape[-2], image.shape[-1])))

    # ------------------------------------------------------------------ hooks of the modules

    def enter_hook(self, name: str) -> Any:
        """Make the forward pre-hook of the module called `name`."""

        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._path.append((name, module))
            if module is self._watch and self.watched is None:
                # a decoder reads the maps of several stages: use the last one
                self.watched = self._field_of(_tensors(inputs[0])[-1])

        return enter

    def leave_hook(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """The forward hook of every module."""
        if isinstance(module, ONE_LAYER):
            self._store(output, self._fields[id(inputs[0])][1])
            self.rows.append(self._row("norm", inputs[0], output))
        self._path.pop()

    # ------------------------------------------------------------------ operations

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether the compiler skips this mode. True would load the compiler, which takes 1.5 s."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and record it."""
        arguments = by_name(func, args, kwargs or {})
        result = plain_result(func, arguments)
        if result is None:
            result = func(*args, **(kwargs or {}))
        # a list holds the parts of one input; of a tuple, the first is the output and the others are statistics
        outputs = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        for output in outputs:
            if isinstance(output, Tensor) and not any(isinstance(module, ONE_LAYER) for _, module in self._path):
                self._record(rules.Operation(func, arguments, output), _tensors(args))
        return result

    def _record(self, operation: rules.Operation, given: list[Tensor]) -> None:
        inputs = [each for each in given if id(each) in self._fields]
        if not inputs:  # the operation reshapes weights
            return
        output = operation.output
        fields = [self._fields[id(each)][1] for each in inputs]
        known = [rf for rf in fields if rf is not None]
        self._store(output, rules.rf_after(operation, known) if len(known) == len(fields) else None)
        kind = rules.kind(operation)
        inplace = any(output is each for each in inputs)
        idle = (
            operation.function.overloadpacket is torch.ops.aten._adaptive_avg_pool2d and output.shape == inputs[0].shape
        )
        if kind is not None and not inplace and not idle:
            weight, macs = rules.weight(operation), rules.macs(operation)
            self.rows.append(self._row(kind, inputs[0], output, weight=weight, macs=macs))

    def _row(
        self, kind: str, given: Tensor, output: Tensor, *, weight: Tensor | None = None, macs: int = 0
    ) -> LayerRow:
        name, module = self._path[-1]
        first = module not in self._counted  # a module that runs twice counts its parameters once
        self._counted.add(module)
        field = self._field_of(output)
        return LayerRow(
            name=name,
            type=kind,
            input=tuple(given.shape[1:]),
            output=tuple(output.shape[1:]),
            params=sum(each.numel() for each in module.parameters(recurse=False)) if first else 0,
            weights=weight.numel() if weight is not None and first else 0,
            units=output.numel() if weight is not None else 0,
            connections=macs,
            macs=macs,
            activation_bytes=output.numel() * output.element_size(),
            receptive_field=None if field is None else field.size,
            stride=None if field is None else field.stride,
            padding=None if field is None else field.padding,
        )

    def _store(self, tensor: Tensor, rf: ReceptiveField | None) -> None:
        self._fields[id(tensor)] = (tensor, rf)

    def _field_of(self, tensor: Tensor) -> Field | None:
        rf = self._fields[id(tensor)][1]
        return None if rf is None else rf.field


def _tensors(arguments: Any) -> list[Tensor]:
    if isinstance(arguments, Tensor):
        return [arguments]
    if isinstance(arguments, dict):
        return _tensors(list(arguments.values()))
    if isinstance(arguments, tuple | list):
        return [each for argument in arguments for each in _tensors(argument)]
    return []
