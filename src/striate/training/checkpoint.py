"""Training's state on disk: tensors and JSON in one safetensors file, nothing executable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from striate.core.atomic import write_bytes
from striate.core.errors import CheckpointError
from striate.core.reading import reading


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts to `path`, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={"striate": json.dumps(dict(facts))}))


def facts(path: Path) -> dict[str, Any]:
    """The facts at `path`, without the tensors.

    Raises:
        CheckpointError: The file is not one of ours, or is damaged.
    """
    return _opened(path, with_tensors=False)[1]


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts at `path`.

    Raises:
        CheckpointError: The file is not one of ours, or is damaged.
    """
    return _opened(path, with_tensors=True)


def _opened(path: Path, *, with_tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    boundary = reading(path, CheckpointError, "a checkpoint", hint="delete it to start again")
    with boundary, safe_open(path, framework="pt") as file:
        facts = json.loads((file.metadata() or {}).get("striate", "null"))
        names = file.keys() if with_tensors else ()
        tensors = {name: file.get_tensor(name) for name in names}
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path} is no checkpoint of a training run", hint="delete it to start again")
    return tensors, facts
