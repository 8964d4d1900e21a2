"""The weights among what a checkpoint holds: out of their wrappers, under names without wrappers' prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.core.errors import CheckpointError

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "params_ema", "net_ema", "ema")
"""Keys of the exponential moving average of the weights, which is what its authors evaluated."""
RAW = ("state_dict", "model_state_dict", "model_state", "model", "net", "params", "module", "network", "weights")
"""Keys of the weights that training left."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
"""What DataParallel, torch.compile, Lightning, mmpretrain and other programs put before names."""
_HEADS = ("head.", "fc.", "classifier.", "neck.")
"""Beginnings of the names that stand beside a ``backbone.``"""
_COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
_MAX_DEPTH = 8


def unwrap(path: Path, found: Any, key: str | None, tensor: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The named tensors of a file's content, and what was chosen on the way.

    Args:
        path: The file, for messages.
        found: Its content.
        key: Which of several sets of weights, ``OUTER/INNER`` where one stands in another; None chooses.
        tensor: The class of the tensors.

    Raises:
        CheckpointError: There are no named tensors, or other things among them, or nothing of that key.
    """
    notes: list[str] = []
    if key is not None:
        for part in key.split("/"):
            if not isinstance(found, Mapping) or part not in found:
                raise _no_such_key(path, found, key, tensor)
            found = found[part]
    seen: set[int] = set()
    while isinstance(found, Mapping):
        if id(found) in seen or len(seen) > _MAX_DEPTH:
            raise CheckpointError(f"{path} is damaged: it contains itself", hint="save the tensors alone")
        seen.add(id(found))
        holding = [each for each in (*AVERAGED, *RAW) if _holds_weights(found.get(each), tensor)]
        if not holding:
            break
        chosen = holding[0]
        if chosen in AVERAGED and len(holding) > 1:
            others = ", ".join(f"{path.name}#{each}" for each in holding[1:])
            notes.append(f"{path.name} holds several sets of weights; the averaged ones (EMA), {chosen}, are taken: "
                         f"{others} would take the others")  # fmt: skip
        found = found[chosen]
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not named tensors")
    others = [str(name) for name, value in found.items() if not isinstance(value, tensor)]
    if others:
        raise CheckpointError(f"{path} holds more than tensors: {', '.join(others[:3])}", hint="save the tensors alone")
    named = {str(name): value for name, value in found.items()}
    if len(named) > 1 and _COUNTER in named and all(n.startswith("module.") for n in named if n != _COUNTER):
        del named[_COUNTER]
    return named, tuple(notes)


def _holds_weights(value: Any, tensor: type) -> bool:
    """Whether a value is named tensors, or wrappers around them."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(value, Mapping):
            return False
        if any(isinstance(each, tensor) for each in value.values()):
            return True
        value = next((value[each] for each in (*AVERAGED, *RAW) if isinstance(value.get(each), Mapping)), None)
    return isinstance(value, Mapping)  # a wrapper without end: `unwrap` says so


def _no_such_key(path: Path, found: Any, key: str, tensor: type) -> CheckpointError:
    having = [str(k) for k, v in found.items() if _holds_weights(v, tensor)] if isinstance(found, Mapping) else []
    hint = f"it has {', '.join(f'#{each}' for each in having[:8])}" if having else f"leave #{key} out"
    return CheckpointError(f"{path} has no weights called {key!r}", hint=hint)


def without_prefixes(names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Names without what programs put before all of them, in any order and number.

    A prefix is taken off where all names begin with it, or all but a classifier's: mmpretrain has ``backbone.conv1``
    beside ``head.fc``.

    Returns:
        Each name to its short one, and what was taken off, such as ``"model.backbone."``.
    """
    short = {name: name for name in names}
    taken = ""
    while True:
        prefix = next((each for each in PREFIXES if _common(short.values(), each)), None)
        if prefix is None:
            return short, taken
        shorter = {name: each.removeprefix(prefix) for name, each in short.items()}
        if len(set(shorter.values())) < len(shorter) or "" in shorter.values():
            return short, taken
        short, taken = shorter, taken + prefix


def _common(names: Iterable[str], prefix: str) -> bool:
    """Whether all names begin with a prefix, but for a classifier's beside a backbone's."""
    rest = [name for name in names if not name.startswith(prefix)]
    return not rest or (prefix in ("backbone.", "encoder.") and all(n.startswith(_HEADS) for n in rest) and
                        len(rest) < len(list(names)))  # fmt: skip
