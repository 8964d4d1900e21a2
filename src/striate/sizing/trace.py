"""One row a layer, from a run on tensors that have shapes and no memory."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.records.sizes import LayerRow
from striate.sizing import rules
from striate.sizing.field import Field
from striate.sizing.rules import ReceptiveField
from striate.sizing.shapes import plain_result

ONE_LAYER = (nn.LocalResponseNorm,)
"""Modules that are one layer to a reader although they run as many operations at each position."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run showed.

    Args:
        rows: The layers, in the order in which they ran.
        entered: Receptive field of what first entered the module that was watched; None where it is not known.
    """

    rows: tuple[LayerRow, ...]
    entered: Field | None


def on_meta(model: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode whose parameters and buffers have shapes and no memory.

    The network itself is not touched: its mode, its device and its values stay.
    """
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(_shape_of(parameter), requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = _shape_of(buffer)
    return copy.deepcopy(model, memo).eval()


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    """Its twin without memory. `torch.empty_like` would load PyTorch's compiler first, a third of a second."""
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


def trace(model: nn.Module, shape: tuple[int, int, int], *, watch: nn.Module) -> Trace:
    """Run a network at batch 1 and list its layers.

    Args:
        model: A network on the meta device; see `on_meta`.
        shape: Channels, height and width of the image.
        watch: The module whose input's receptive field is asked for.
    """
    dtype = next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)
    image = torch.empty(1, *shape, device="meta", dtype=dtype)
    tracer = _Tracer(image, watch)
    names = {module: name for name, module in model.named_modules()}
    hooks = []
    for module, name in names.items():
        hooks.append(module.register_forward_pre_hook(tracer.entering(name)))
        hooks.append(module.register_forward_hook(tracer.leave))
    try:
        with torch.no_grad(), tracer:
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return Trace(tuple(tracer.rows), tracer.entered)


@final
class _Tracer(TorchDispatchMode):
    """Hears every operation and knows in which module it runs."""

    def __init__(self, image: Tensor, watch: nn.Module) -> None:
        super().__init__()
        self.rows: list[LayerRow] = []
        self.entered: Field | None = None
        self._watch = watch
        self._path: list[tuple[str, nn.Module]] = []
        self._paid: set[nn.Module] = set()
        # Sights by tensor. The tensors are kept too, so that an address is never used twice; they have no memory.
        self._sights: dict[int, tuple[Tensor, ReceptiveField | None]] = {}
        self._know(image, ReceptiveField(Field.of_image(image.shape[-2], image.shape[-1])))

    # ------------------------------------------------------------------ where

    def entering(self, name: str) -> Any:
        """The hook for the beginning of the module called `name`."""

        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._path.append((name, module))
            if module is self._watch and self.entered is None:
                # a decoder reads the maps of several stages: the highest counts
                self.entered = self._field(_tensors(inputs[0])[-1])

        return enter

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """The hook for the end of a module."""
        if isinstance(module, ONE_LAYER):
            self._know(output, self._sights[id(inputs[0])][1])
            self.rows.append(self._row("norm", inputs[0], output))
        self._path.pop()

    # ------------------------------------------------------------------ what

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch's question whether its compiler is to pass over this mode; yes would load the compiler, in 1.5 s."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and note what it does."""
        arguments = {
            argument.name: args[place]
            if place < len(args)
            else (kwargs or {}).get(argument.name, argument.default_value)
            for place, argument in enumerate(func._schema.arguments)
        }
        result = plain_result(func, arguments)
        if result is None:
            result = func(*args, **(kwargs or {}))
        # several results are parts of one input, or the first counts and the others are statistics
        outputs = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        for output in outputs:
            if isinstance(output, Tensor) and not any(isinstance(module, ONE_LAYER) for _, module in self._path):
                self._note(rules.Operation(func, arguments, output), _tensors(args))
        return result

    def _note(self, operation: rules.Operation, given: list[Tensor]) -> None:
        inputs = [each for each in given if id(each) in self._sights]
        if not inputs:  # weights on their way to a layer
            return
        output = operation.output
        sights = [self._sights[id(each)][1] for each in inputs]
        known = [rf for rf in sights if rf is not None]
        self._know(output, rules.rf_after(operation, known) if len(known) == len(sights) else None)
        kind = rules.kind(operation)
        in_place = any(output is each for each in inputs)
        idle = (
            operation.function.overloadpacket is torch.ops.aten._adaptive_avg_pool2d and output.shape == inputs[0].shape
        )
        if kind is not None and not in_place and not idle:
            weight, macs = rules.weight(operation), rules.macs(operation)
            self.rows.append(self._row(kind, inputs[0], output, weight=weight, macs=macs))

    def _row(
        self, kind: str, given: Tensor, output: Tensor, *, weight: Tensor | None = None, macs: int = 0
    ) -> LayerRow:
        name, module = self._path[-1]
        first = module not in self._paid  # a module that runs twice has its parameters once
        self._paid.add(module)
        field = self._field(output)
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

    def _know(self, tensor: Tensor, rf: ReceptiveField | None) -> None:
        self._sights[id(tensor)] = (tensor, rf)

    def _field(self, tensor: Tensor) -> Field | None:
        rf = self._sights[id(tensor)][1]
        return None if rf is None else rf.field


def _tensors(arguments: Any) -> list[Tensor]:
    if isinstance(arguments, Tensor):
        return [arguments]
    if isinstance(arguments, dict):
        return _tensors(list(arguments.values()))
    if isinstance(arguments, tuple | list):
        return [each for argument in arguments for each in _tensors(argument)]
    return []
