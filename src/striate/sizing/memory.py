"""Will it fit: the most memory that a network holds at once, and the largest batch and image for a given memory.

A forward pass, or a step of training, runs on tensors that have shapes and no memory, and every tensor is written into
a ledger when it is made and struck out when nothing refers to it any more. So the sum knows what autograd keeps, what
work in place saves, and when gradients take the place of activations. What kernels need inside themselves is not in it:
on a CPU that is a few hundredths, which a test measures.
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
"""Tensors that an optimiser keeps for every parameter that it trains."""
SLACK = 1 / 64
"""How near a side comes to the largest that fits; finding it exactly would take twice the runs."""
PATIENCE = 8
"""Runs after which a line is no longer trusted, and what is left is halved."""

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|m|g|t)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def amount_bytes(text: str | int) -> int:
    """An amount of memory in bytes: a number, or words such as ``8GB`` (8e9) and ``8GiB`` (8 * 2**30).

    Raises:
        PlanError: It is neither.

    Example:
        >>> amount_bytes("1.5GiB")
        1610612736
    """
    found = _AMOUNT.fullmatch(str(text).strip())
    if found is None or float(found[1]) == 0:
        raise PlanError(f"{text!r} is no amount of memory", hint="write it as 8GB, 512MB or 24GiB")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].lower()])


def peak_bytes(
    model: nn.Module, shape: Shape, *, batch: int = 1, training: bool = False, optimiser: str = "momentum"
) -> int:
    """The most that a network holds at once: parameters, images, maps, and in training gradients and more.

    Args:
        model: A network of striate.models, on any device; it is not changed. Frozen stages are frozen here too.
        shape: Channels, height and width of the images.
        batch: Images at once.
        training: Whether it is a step of training (cross-entropy, gradients given up before the pass) or a forward pass
            without gradients.
        optimiser: ``sgd``, ``momentum`` or ``adam``; they keep 0, 1 or 2 tensors for every parameter.

    Raises:
        InputShapeError: The network does not take such images.
        PlanError: There is no such optimiser.
    """
    if optimiser not in STATES:
        raise PlanError(f"no optimiser is called {optimiser!r}", hint=f"there are {', '.join(STATES)}")
    copied = on_meta(model)
    ledger = _Ledger()
    ledger.hold([*copied.parameters(), *copied.buffers()])
    trained = sum(each.nbytes for each in copied.parameters() if each.requires_grad)
    if training:
        _run(copied, shape, batch, ledger, training=True)
        return ledger.most + STATES[optimiser] * trained
    _run(copied, shape, batch, ledger, training=False)
    return ledger.most


def kept_bytes(model: nn.Module, shape: Shape, *, batch: int = 1) -> dict[str, int]:
    """What autograd keeps for the backward pass, by stage, parameters and images left out.

    A tensor is counted once, for the stage that made it, however many layers keep it.

    Args:
        model: A network of striate.models, on any device; it is not changed.
        shape: Channels, height and width of the images.
        batch: Images at once.
    """
    copied = on_meta(model)
    makers = _Makers()
    makers.hold([*copied.parameters(), *copied.buffers()])
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if makers.of.get(storage._cdata) is not None:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    for name, part in copied.named_children():
        part.register_forward_pre_hook(makers.entering(name))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _run(copied, shape, batch, makers, training=True)
    stages = {name: 0 for name, _ in copied.named_children() if name != "aux"}
    for storage, size in kept.items():
        stages[makers.of[storage] or ""] += size
    return stages


def largest_batch(
    model: nn.Module, shape: Shape, memory: str | int, *, training: bool = False, optimiser: str = "momentum"
) -> int:
    """The most images at once for which `peak_bytes` is within a memory; 0 where not one fits.

    Args:
        model: A network of striate.models, on any device; it is not changed.
        shape: Channels, height and width of the images.
        memory: In bytes, or as ``8GB``.
        training: Whether for training, or for a forward pass without gradients.
        optimiser: As `peak_bytes` takes it.

    Example:
        >>> from striate.models import REGISTRY
        >>> largest_batch(REGISTRY.get("lenet5").create(), (1, 32, 32), "10MB")
        233
    """
    within = amount_bytes(memory)
    bare = on_meta(model)

    def peak(batch: int) -> int:
        return peak_bytes(bare, shape, batch=batch, training=training, optimiser=optimiser)

    return _largest(peak, float, int, within, start=8)


def largest_side(
    model: nn.Module, channels: int, memory: str | int, *, training: bool = False, optimiser: str = "momentum"
) -> int:
    """The side of the largest square image that fits alone, found to within a sixty-fourth; 0 where none does.

    Args:
        model: A network of striate.models, on any device; it is not changed.
        channels: Of the image.
        memory: In bytes, or as ``8GB``.
        training: Whether for training, or for a forward pass without gradients.
        optimiser: As `peak_bytes` takes it.
    """
    within = amount_bytes(memory)
    bare = on_meta(model)
    if not isinstance(bare, Network):
        raise PlanError(f"{type(model).__name__} does not say which sides it takes")
    first, step = bare.min_side, bare.side_step

    def side(place: int) -> int:
        return first + (place - 1) * step

    def peak(place: int) -> int:
        shape = (channels, side(place), side(place))
        return peak_bytes(bare, shape, training=training, optimiser=optimiser)

    most = None if bare.max_side is None else (bare.max_side - first) // step + 1
    start = min(most or 256, max(1, (224 - first) // step))
    place = _largest(
        peak,
        lambda place: side(place) ** 2,
        lambda square: (math.isqrt(max(int(square), 0)) - first) // step + 1,
        within,
        start=start,
        most=most,
        slack=SLACK,
    )
    return side(place) if place else 0


def fits(model: nn.Module, shape: Shape, memory: str | int, *, optimiser: str = "momentum") -> MemoryRecord:
    """What fits into a memory, forward and in training.

    Args:
        model: A network of striate.models, on any device; it is not changed.
        shape: Channels, height and width of the images.
        memory: In bytes, or as ``8GB``.
        optimiser: As `peak_bytes` takes it.
    """
    within = amount_bytes(memory)
    rows = {}
    for mode in (False, True):
        rows[mode] = Fits(
            peak_bytes=peak_bytes(model, shape, training=mode, optimiser=optimiser),
            largest_batch=largest_batch(model, shape, within, training=mode, optimiser=optimiser),
            largest_side=largest_side(model, shape[0], within, training=mode, optimiser=optimiser),
        )
    return MemoryRecord(
        given_bytes=within,
        optimiser=optimiser,
        kept_bytes=kept_bytes(model, shape),
        forward=rows[False],
        training=rows[True],
    )


def _largest(
    peak: Callable[[int], int],
    grows_with: Callable[[int], float],
    back: Callable[[float], int],
    within: int,
    *,
    start: int,
    most: int | None = None,
    slack: float = 0.0,
) -> int:
    """The largest number, from 1 to `most`, whose peak is within a memory; 0 where that of 1 is not.

    Peaks grow about evenly with ``grows_with(number)``, whose inverse is `back`, so that a line through two of them
    points at the answer.
    """
    fits, too_much = 0, None if most is None else most + 1
    known: dict[int, int] = {}
    number = start
    while too_much is None or too_much - fits > max(1, fits * slack):
        known[number] = peak(number)
        if known[number] <= within:
            fits = number
        else:
            too_much = number
        if len(known) == 1:
            number *= 2
        elif len(known) < PATIENCE or too_much is None:
            one, other = sorted(known, key=lambda each: abs(known[each] - within))[:2]
            rise = (known[other] - known[one]) / (grows_with(other) - grows_with(one))
            number = back(grows_with(one) + (within - known[one]) / max(rise, 1.0))
        else:
            number = (fits + too_much) // 2
        number = max(number, fits + max(1, int(fits * slack)))
        number = min(number, 64 * max(known) if too_much is None else too_much - 1)
    return fits


def _run(model: nn.Module, shape: Shape, batch: int, mode: _Ledger | _Makers, *, training: bool) -> None:
    """A forward pass in evaluation, or a forward and a backward pass in training, under a mode that listens."""
    dtype = next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)
    images = torch.empty(batch, *shape, device="meta", dtype=dtype)
    mode.hold(images)
    with ExitStack() as around:
        if not training:
            around.enter_context(torch.no_grad())
            around.enter_context(mode)
            model(images)
            return
        model.train()
        if batch == 1:  # a single value has no variance; running statistics need as much memory
            for layer in model.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        around.enter_context(mode)
        logits = model(images)
        labels = torch.empty(batch, *logits.shape[2:], device="meta", dtype=torch.int64)
        loss = nn.functional.cross_entropy(logits, labels)
        del logits
        loss.backward()


@final
class _Ledger(TorchDispatchMode):
    """Knows how many bytes of tensors are alive, and how many were at most."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.most = 0
        self._known: dict[int, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As in `trace`: yes would load the compiler."""
        return False

    def hold(self, value: Any) -> None:
        """Write down the tensors in a value."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        self.most = max(self.most, self.held)

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def strike_out(_reference: Any) -> None:
            self.held -= size
            del self._known[key]

        self.held += size
        self._known[key] = weakref.ref(storage, strike_out)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and write down what it makes."""
        result = func(*args, **(kwargs or {}))
        self.hold(result)
        return result


@final
class _Makers(TorchDispatchMode):
    """Knows which part of a network made a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[int, str | None] = {}
        self._part: str | None = None
        self._all: list[Tensor] = []  # so that no address is used twice; they have no memory

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As in `trace`: yes would load the compiler."""
        return False

    def hold(self, value: Any) -> None:
        """Pass over tensors that were there before, and whatever is a view of them."""
        for tensor in tree_leaves(value):
            self._note(tensor, None)

    def entering(self, name: str) -> Callable[..., None]:
        """The hook for the beginning of a part."""

        def enter(_module: nn.Module, _inputs: Any) -> None:
            self._part = name

        return enter

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and note who makes what."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            self._note(tensor, self._part)
        return result

    def _note(self, tensor: Any, part: str | None) -> None:
        if isinstance(tensor, Tensor):
            self.of.setdefault(tensor.untyped_storage()._cdata, part)
            self._all.append(tensor)
