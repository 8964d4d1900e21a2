"""The identity of targets: what a training on them depends on beside the images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor


def fingerprint(*values: Any) -> str:
    """sha256 of values, in hex: equal for equal values, in other processes too.

    Args:
        values: Arrays, tensors, strings, bytes, numbers and None, and sequences and mappings of them.

    Raises:
        TypeError: A value is of another type; a task with such targets overrides `Task.fingerprint`.
    """
    total = hashlib.sha256()
    for value in values:
        _add(total, value)
    return total.hexdigest()


def _add(total: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        total.update(f"array {value.dtype.str} {value.shape} ".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bytes):
        total.update(f"bytes {len(value)} ".encode() + value)
    elif value is None or isinstance(value, str | int | float | np.generic):
        plain = value.item() if isinstance(value, np.generic) else value
        total.update(f"{type(plain).__name__} {json.dumps(plain)} ".encode())
    elif isinstance(value, Mapping):
        _add(total, [part for key in sorted(value) for part in (key, value[key])])
    elif isinstance(value, Sequence | np.ndarray):
        total.update(f"sequence {len(value)} ".encode())
        for each in value:
            _add(total, each)
    else:
        raise TypeError(f"the identity of a {type(value).__name__} is not known")
