"""Peak memory of a network, and the largest batch and image that fit into a given memory.

A forward pass or a training step runs on the meta device. Every tensor is counted when it is created and subtracted
when nothing refers to it any more. The estimate therefore includes the tensors that autograd saves, the savings of
in-place operations, and gradients that replace activations. It does not include the workspace of kernels; on a CPU this
is a few per cent, which a test measures.
"""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.core.errors import PlanError
from striate.nn.network import Network
from striate.records.sizes import Fits, MemoryRecord
from striate.sizing.trace import on_meta

Shape = tuple[int, int, int]

STATES = {"sgd": 0, "momentum": 1, "adam": 2}
"""Number of tensors that an optimiser stores per trained parameter."""
SIDE_TOLERANCE = 1 / 64
"""Relative tolerance of the largest image side; the exact side would take twice as many runs."""
SECANT_STEPS = 8
"""Number of secant steps before the search switches to bisection."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|m|g|t)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str | int) -> int:
    """Convert a memory size to bytes.

    Args:
        text: A number of bytes, or text such as ``8GB`` (8e9 bytes) or ``8GiB`` (8 * 2**30 bytes).

    Raises:
        PlanError: The text has another form, or the size is 0.

    Example:
        >>> parse_bytes("1.5GiB")
        1610612736
    """
    found = _SIZE.fullmatch(str(text).strip())
    if found is None or float(found[1]) == 0:
        raise PlanError(f"{text!r} is not a memory size", hint="write it as 8GB, 512MB or 24GiB")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].lower()])


def peak_bytes(
    model: nn.Module, shape: Shape, *, batch: int = 1, training: bool = False, optimiser: str = "momentum"
) -> int:
    """Estimate the peak memory of a forward pass or a training step.

    The peak includes parameters, images and activations, and in training also gradients and the state of the optimiser.

    Args:
        model: A network, on any device. It does not change. Frozen stages count as frozen.
        shape: Channels, height and width of the images, in pixels.
        batch: Batch size.
        training: Whether to estimate a training step (with cross-entropy, and with gradients set to None before the
            step) or a forward pass without gradients.
        optimiser: ``sgd``, ``momentum`` or ``adam``: 0, 1 or 2 tensors of state per trained parameter.

    Returns:
        The peak in bytes.

    Raises:
        InputShapeError: The network does not accept this shape.
        PlanError: The optimiser is unknown.
    """
    if optimiser not in STATES:
        raise PlanError(f"unknown optimiser {optimiser!r}", hint=f"use {', '.join(STATES)}")
    copied = on_meta(model)
    tracker = _PeakTracker()
    tracker.hold([*copied.parameters(), *copied.buffers()])
    trained = sum(each.nbytes for each in copied.parameters() if each.requires_grad)
    if training:
        _run(copied, shape, batch, tracker, training=True)
        return tracker.peak + STATES[optimiser] * trained
    _run(copied, shape, batch, tracker, training=False)
    return tracker.peak


def kept_bytes(model: nn.Module, shape: Shape, *, batch: int = 1) -> dict[str, int]:
    """Memory of the tensors that autograd saves for the backward pass, by stage.

    Parameters and images do not count. A tensor that several layers save counts once, for the stage that created it.

    Args:
        model: A network, on any device. It does not change.
        shape: Channels, height and width of the images, in pixels.
        batch: Batch size.

    Returns:
        Bytes by name of the stage, with ``head`` last.
    """
    copied = on_meta(model)
    origins = _OriginTracker()
    origins.hold([*copied.parameters(), *copied.buffers()])
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if origins.stage_of.get(storage._cdata) is not None:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    for name, part in copied.named_children():
        part.register_forward_pre_hook(origins.enter_hook(name))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _run(copied, shape, batch, origins, training=True)
    stages = {name: 0 for name, _ in copied.named_children() if name != "aux"}
    for storage, size in kept.items():
        stages[origins.stage_of[storage] or ""] += size
    return stages


def largest_batch(
    model: nn.Module, shape: Shape, memory: str | int, *, training: bool = False, optimiser: str = "momentum"
) -> int:
    """Find the largest batch size whose peak memory fits.

    Args:
        model: A network, on any device. It does not change.
        shape: Channels, height and width of the images, in pixels.
        memory: Available memory, in bytes or as text such as ``8GB``.
        training: Whether the batch is for a training step or for a forward pass without gradients.
        optimiser: ``sgd``, ``momentum`` or ``adam``.

    Returns:
        The batch size; 0 if not even one image fits.

    Raises:
        InputShapeError: The network does not accept this shape.
        PlanError: The memory size or the optimiser is invalid.

    Example:
        >>> from striate.models import REGISTRY
        >>> largest_batch(REGISTRY.get("lenet5").create(), (1, 32, 32), "10MB")
        233
    """
    limit = parse_bytes(memory)
    copied = on_meta(model)

    def peak(batch: int) -> int:
        return peak_bytes(copied, shape, batch=batch, training=training, optimiser=optimiser)

    return _largest(peak, float, int, limit, start=8)


def largest_side(
    model: nn.Module, channels: int, memory: str | int, *, training: bool = False, optimiser: str = "momentum"
) -> int:
    """Find the side of the largest square image that fits at batch size 1.

    Args:
        model: A network, on any device. It does not change.
        channels: Number of channels of the image.
        memory: Available memory, in bytes or as text such as ``8GB``.
        training: Whether the image is for a training step or for a forward pass without gradients.
        optimiser: ``sgd``, ``momentum`` or ``adam``.

    Returns:
        The side in pixels, at most 1/64 below the largest possible one; 0 if no image fits.

    Raises:
        PlanError: The module is not a network of Striate, or the memory size or the optimiser is invalid.
    """
    limit = parse_bytes(memory)
    copied = on_meta(model)
    if not isinstance(copied, Network):
        raise PlanError(
            f"{type(model).__name__} is not a network of Striate", hint="use a network from striate.create_model"
        )
    first, step = copied.min_side, copied.side_step

    def side(number: int) -> int:
        return first + (number - 1) * step

    def peak(number: int) -> int:
        shape = (channels, side(number), side(number))
        return peak_bytes(copied, shape, training=training, optimiser=optimiser)

    upper = None if copied.max_side is None else (copied.max_side - first) // step + 1
    start = min(upper or 256, max(1, (224 - first) // step))
    number = _largest(
        peak,
        lambda number: side(number) ** 2,
        lambda square: (math.isqrt(max(int(square), 0)) - first) // step + 1,
        limit,
        start=start,
        upper=upper,
        tolerance=SIDE_TOLERANCE,
    )
    return side(number) if number else 0


def fits(model: nn.Module, shape: Shape, memory: str | int, *, optimiser: str = "momentum") -> MemoryRecord:
    """Find what fits into a given memory, for inference and for training.

    Args:
        model: A network, on any device. It does not change.
        shape: Channels, height and width of the images, in pixels.
        memory: Available memory, in bytes or as text such as ``8GB``.
        optimiser: ``sgd``, ``momentum`` or ``adam``.

    Raises:
        InputShapeError: The network does not accept this shape.
        PlanError: The memory size or the optimiser is invalid.
    """
    limit = parse_bytes(memory)
    rows = {}
    for mode in (False, True):
        rows[mode] = Fits(
            peak_bytes=peak_bytes(model, shape, training=mode, optimiser=optimiser),
            largest_batch=largest_batch(model, shape, limit, training=mode, optimiser=optimiser),
            largest_side=largest_side(model, shape[0], limit, training=mode, optimiser=optimiser),
        )
    return MemoryRecord(
        given_bytes=limit,
        optimiser=optimiser,
        kept_bytes=kept_bytes(model, shape),
        forward=rows[False],
        training=rows[True],
    )


def _largest(
    peak: Callable[[int], int],
    grows_with: Callable[[int], float],
    back: Callable[[float], int],
    limit: int,
    *,
    start: int,
    upper: int | None = None,
    tolerance: float = 0.0,
) -> int:
    """Find the largest number from 1 to `upper` whose peak is at most `limit`; 0 if there is none.

    The peak is roughly linear in ``grows_with(number)``, whose inverse is `back`. The search takes secant steps first,
    then bisects.
    """
    fits, too_much = 0, None if upper is None else upper + 1
    known: dict[int, int] = {}
    number = start
    while too_much is None or too_much - fits > max(1, fits * tolerance):
        known[number] = peak(number)
        if known[number] <= limit:
            fits = number
        else:
            too_much = number
        if len(known) == 1:
            number *= 2
        elif len(known) < SECANT_STEPS or too_much is None:
            one, other = sorted(known, key=lambda each: abs(known[each] - limit))[:2]
            rise = (known[other] - known[one]) / (grows_with(other) - grows_with(one))
            number = back(grows_with(one) + (limit - known[one]) / max(rise, 1.0))
        else:
            number = (fits + too_much) // 2
        number = max(number, fits + max(1, int(fits * tolerance)))
        number = min(number, 64 * max(known) if too_much is None else too_much - 1)
    return fits


def _run(model: nn.Module, shape: Shape, batch: int, tracker: _PeakTracker | _OriginTracker, *, training: bool) -> None:
    """Run a forward pass in evaluation mode, or a forward and a backward pass in training mode, under a tracker."""
    dtype = next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)
    images = torch.empty(batch, *shape, device="meta", dtype=dtype)
    tracker.hold(images)
    with ExitStack() as stack:
        if not training:
            stack.enter_context(torch.no_grad())
            stack.enter_context(tracker)
            model(images)
            return
        model.train()
        if batch == 1:  # batch statistics need at least two values; running statistics take the same memory
            for layer in model.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        stack.enter_context(tracker)
        logits = model(images)
        labels = torch.empty(batch, *logits.shape[2:], device="meta", dtype=torch.int64)
        loss = nn.functional.cross_entropy(logits, labels)
        del logits
        loss.backward()


@final
class _PeakTracker(TorchDispatchMode):
    """Counts the bytes of all live tensors, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.current = 0
        self.peak = 0
        self._known: dict[int, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As in `trace`: True would load the compiler."""
        return False

    def hold(self, value: Any) -> None:
        """Count the tensors in a value."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        self.peak = max(self.peak, self.current)

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def release(_reference: Any) -> None:
            self.current -= size
            del self._known[key]

        self.current += size
        self._known[key] = weakref.ref(storage, release)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and count its outputs."""
        result = func(*args, **(kwargs or {}))
        self.hold(result)
        return result


@final
class _OriginTracker(TorchDispatchMode):
    """Records which stage of a network created each tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.stage_of: dict[int, str | None] = {}
        self._stage: str | None = None
        self._all: list[Tensor] = []  # kept, so that no address is used twice; they take no memory

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As in `trace`: True would load the compiler."""
        return False

    def hold(self, value: Any) -> None:
        """Mark existing tensors, and all tensor views of them, as created by no stage."""
        for tensor in tree_leaves(value):
            self._record(tensor, None)

    def enter_hook(self, name: str) -> Callable[..., None]:
        """Make the forward pre-hook of a stage."""

        def enter(_module: nn.Module, _inputs: Any) -> None:
            self._stage = name

        return enter

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and record which stage created its outputs."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            self._record(tensor, self._stage)
        return result

    def _record(self, tensor: Any, stage: str | None) -> None:
        if isinstance(tensor, Tensor):
            self.stage_of.setdefault(tensor.untyped_storage()._cdata, stage)
            self._all.append(tensor)
