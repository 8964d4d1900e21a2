"""Named tensors into a network, every tensor accounted for on both sides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from striate.core.errors import CheckpointError
from striate.models.network import StagedModel
from striate.records.results import LoadRecord
from striate.weights import maps
from striate.weights.maps.rules import Constant, Row, Rule, Skip

_COUNTER = "num_batches_tracked"  # absent from old files, and of no effect in evaluation
_AUX = "aux."  # of use in training alone, and left out of some files
_LOGITS = re.compile(r"(?:head|aux\.[^.]+)\.logits\.(?:weight|bias)")


@dataclass(slots=True)
class Fit:
    """What became of every tensor when a file met a network; nothing is loaded yet.

    Args:
        tensors: Our name to the tensor, moved, for every name that agrees.
        extra: Names in the file that nothing of ours answers to.
        missing: Names of ours that nothing in the file answers to.
        mismatched: Our name to the file's shape and ours.
        skipped: Names in the file that are left out on purpose, each with the reason.
        fresh: Names of ours that the file leaves out by custom, each with the reason.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)

    @property
    def other_classes(self) -> bool:
        """Whether the logits alone disagree, and only by the number of classes."""
        return bool(self.mismatched) and all(
            _LOGITS.fullmatch(name) and theirs[1:] == ours[1:] for name, (theirs, ours) in self.mismatched.items()
        )

    @property
    def complete(self) -> bool:
        """Whether both sides agree in every tensor."""
        return not (self.extra or self.missing or self.mismatched)


def fit(model: StagedModel, state: Mapping[str, Tensor], rows: list[Row]) -> Fit:
    """Rename and move a file's tensors, and compare them with the network's.

    Args:
        model: The network; it is not changed, and may be on the meta device.
        state: The file's tensors.
        rows: The name map.

    Raises:
        CheckpointError: Two tensors of the file mean the same one of ours.
    """
    tensors = model.state_dict()
    ours = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    rules = [row for row in rows if isinstance(row, Rule)]
    skips = [row for row in rows if isinstance(row, Skip)]
    result = Fit()
    subtracted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        reason = next((row.reason for row in skips if re.fullmatch(row.pattern, name)), None)
        if reason is not None:
            result.skipped[name] = reason
            continue
        rule, target = _first(rules, name)
        if rule is None or target not in ours:
            result.extra.append(name)
            continue
        into = subtracted if rule.subtract else result.tensors
        if target in into:
            raise CheckpointError(f"two tensors of the file mean {target}, one of them {name}")
        into[target] = _moved(rule, name, tensor)
    for row in rows:
        if isinstance(row, Constant):
            for name in ours.keys() - result.tensors.keys():
                if re.fullmatch(row.target, name):
                    result.tensors[name] = torch.full_like(tensors[name], row.value)
                    result.fresh[name] = row.reason
    for target, tensor in subtracted.items():
        if target in result.tensors and result.tensors[target].shape == tensor.shape:
            result.tensors[target] = result.tensors[target] - tensor
    if not any(name.startswith(_AUX) for name in result.tensors):
        result.fresh |= {name: "the file has no auxiliary heads" for name in ours if name.startswith(_AUX)}
    for name, shape in ours.items():
        if name not in result.tensors:
            if name in result.fresh:
                continue
            if name.endswith(_COUNTER):
                result.fresh[name] = "not in old files"
            else:
                result.missing.append(name)
        elif tuple(result.tensors[name].shape) != shape:
            result.mismatched[name] = (tuple(result.tensors.pop(name).shape), shape)
    return result


def load_state_dict(
    model: StagedModel,
    state: Mapping[str, Tensor],
    source: str = "striate",
    *,
    family: str | None = None,
    replace_head: bool = False,
    backbone: bool = False,
) -> LoadRecord:
    """Fill a network with published tensors, exactly: every tensor of either side is matched, or nothing changes.

    Args:
        model: The network. Its options (padding, eps, stride place) must be those that the weights were trained with;
            shapes cannot tell.
        state: Tensors by the source's names, as `readers.read_state` gives them.
        source: ``"torchvision"``, ``"timm"``, ``"keras"`` (keys ``layer/weight``), ``"akamaster"``,
            ``"lukemelas"`` or ``"striate"``.
        family: The network's family; None takes it from the network.
        replace_head: Whether a classifier of another number of classes is left out; ours then keeps its values.
        backbone: Whether the file holds no classifier.

    Returns:
        What was matched, skipped, left fresh, and cast.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape; or holds what no weight can be.

    Example:
        >>> from striate.models import REGISTRY
        >>> model = REGISTRY.get("resnet20_cifar").create()
        >>> load_state_dict(model, model.state_dict()).matched
        116
    """
    family = family if family is not None else type(model).__module__.rsplit(".", 1)[-1]
    others = [name for name, tensor in state.items() if not isinstance(tensor, Tensor)]
    if others:
        raise CheckpointError(f"the weights hold more than tensors: {_some(others)}", hint="give tensors alone")
    found = fit(model, maps.tidied(state, source), maps.get(source, family)(model))
    skipped, fresh = found.skipped, found.fresh
    if replace_head and found.other_classes:
        theirs = next(iter(found.mismatched.values()))[0][0]
        reason = f"classifies {theirs} classes, the network {model.classes}"
        skipped |= dict.fromkeys(found.mismatched, reason)
        logits = [name for name in model.state_dict() if _LOGITS.fullmatch(name)]
        fresh |= dict.fromkeys(logits, reason)
        found.mismatched.clear()
        for name in logits:
            found.tensors.pop(name, None)
    if backbone:
        absent = "head.logits." if any(name.startswith("head.") for name in found.tensors) else "head."
        fresh |= {name: "the file has no classifier" for name in found.missing if name.startswith(absent)}
        found.missing = [name for name in found.missing if not name.startswith(absent)]
    if not found.complete:
        raise refusal(found, model, source)
    target = model.state_dict()
    _check_values(found.tensors, target)
    casts: Counter[str] = Counter()
    for name, tensor in found.tensors.items():
        if tensor.dtype != target[name].dtype:
            casts[f"{_word(tensor)} to {_word(target[name])}"] += 1
    model.load_state_dict(found.tensors, strict=False)  # what may be absent is known by now
    return LoadRecord(source=source, matched=len(found.tensors), skipped=skipped, fresh=fresh, cast=dict(casts))


def require_fit(
    model: StagedModel, state: Mapping[str, Tensor], source: str, *, family: str, backbone: bool = False
) -> None:
    """Refuse weights that `load_state_dict` would refuse for their names or shapes; the network may have no values.

    Args:
        model: The network, on the meta device too.
        state: As for `load_state_dict`.
        source: As for `load_state_dict`.
        family: The network's family.
        backbone: Whether the file holds no classifier.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    found = fit(model, maps.tidied(state, source), maps.get(source, family)(model))
    if backbone:
        found.missing = [name for name in found.missing if not name.startswith("head.")]
    if not found.complete:
        raise refusal(found, model, source)


def _check_values(tensors: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Refuse what a copy would turn into wrong weights without a word."""
    kinds = [n for n, t in tensors.items() if target[n].is_floating_point() and not t.is_floating_point()]
    if kinds:
        raise CheckpointError(
            f"weights are floating-point numbers, but {_some(kinds)} hold {_word(tensors[kinds[0]])}",
            hint="quantised weights are not read; fetch them unquantised",
        )
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not t.is_meta and not t.isfinite().all()]
    if bad:
        raise CheckpointError(f"NaN or infinite values in {_some(bad)}", hint="fetch the file again")


def _first(rules: list[Rule], name: str) -> tuple[Rule | None, str | None]:
    for rule in rules:
        target = rule.rename(name)
        if target is not None:
            return rule, target
    return None, None


def _moved(rule: Rule, name: str, tensor: Tensor) -> Tensor:
    if rule.move is None:
        return tensor
    try:
        return rule.move(tensor)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{name} has a shape that it never has in such weights: {list(tensor.shape)}") from error


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def refusal(found: Fit, model: StagedModel, source: str) -> CheckpointError:
    """The error that says in which tensors a file and a network disagree."""
    if found.other_classes and not found.extra and not found.missing:
        theirs, ours = next(iter(found.mismatched.values()))
        return CheckpointError(
            f"the file classifies {theirs[0]} classes, the network {ours[0]}",
            hint="replace the head (replace_head=True), or build the network with the file's classes",
        )
    parts = []
    if found.missing:
        parts.append(f"{len(found.missing)} tensors are missing ({_some(found.missing)})")
    if found.extra:
        parts.append(f"{len(found.extra)} are left over ({_some(found.extra)})")
    if found.mismatched:
        shapes = [f"{name} {list(theirs)} for {list(ours)}" for name, (theirs, ours) in found.mismatched.items()]
        parts.append(f"{len(shapes)} have other shapes ({_some(shapes)})")
    what = type(model).__name__
    return CheckpointError(
        f"these are not the {source} weights of this {what}: {', '.join(parts)}",
        hint="name the network and the source that the file is of",
    )


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
