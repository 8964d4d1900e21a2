"""Keras' HDF5 files to named tensors: read in a process of its own (`hdf5_process`), named here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from striate.core.errors import CheckpointError
from striate.core.reading import reason

REFUSED = 3  # exit code of `hdf5_process`
_SCRIPT = Path(__file__).with_name("hdf5_process.py")
_WALL_S, _BYTES_PER_S = 60.0, 50e6
"""Least time by the clock, which other programs may use up; processor time is bounded by half a second more."""


def read(path: Path, max_bytes: int) -> dict[str, Tensor]:
    """The tensors of a file, by ``layer/weight``.

    Args:
        path: The file.
        max_bytes: What its arrays may take in all.

    Raises:
        CheckpointError: The file is damaged, reaches outside itself, or takes too much time or memory.
    """
    from safetensors.torch import load

    seconds = 0.5 + path.stat().st_size / _BYTES_PER_S
    command = [sys.executable, "-P", str(_SCRIPT), str(path.absolute()), str(max_bytes), str(seconds)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=_WALL_S + seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise _too_long(path) from error
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == REFUSED:
        raise CheckpointError(f"{path} {said}", hint="save the weights by Keras again, as one file of plain arrays")
    if done.returncode < 0:  # a signal: the limit of processor time, or the library's own crash
        raise _too_long(path)
    if done.returncode != 0:
        why = reason(ValueError(said.splitlines()[-1] if said else f"exit code {done.returncode}"))
        raise CheckpointError(
            f"{path} is cut short or not what its name says ({why})", hint="fetch or convert the file again"
        )
    tensors = load(done.stdout)
    titles = _titles(done.stdout)
    if any("/vars/" in f"/{name}" for name in tensors):
        return _keras_3(path, tensors, titles)
    return _keras_2(tensors)


def _too_long(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged: the HDF5 library does not come to an end with it", hint="fetch or convert the file again"
    )


def _titles(content: bytes) -> dict[str, str]:
    """The process' ``titles``, from the header that begins a file of safetensors."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["titles"])


def _keras_2(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """``conv1/conv1/kernel:0`` to ``conv1/kernel``; a group with several inner names is a nested model.

    A layer whose own name has a slash (``conv1/bn``) stands in a group in a group: ``conv1/bn/conv1/bn/gamma:0``.
    """
    inner: dict[str, set[str]] = {}
    for name in arrays:
        top, _, rest = name.partition("/")
        inner.setdefault(top, set()).add(rest.rpartition("/")[0])
    named = {}
    for name, array in arrays.items():
        parts = name.split("/")
        half = len(parts) // 2
        if parts[:half] == parts[half:-1]:
            layer = "/".join(parts[:half])
        else:
            layer = parts[0] if len(inner[parts[0]]) == 1 else parts[-2]
        named[f"{layer}/{parts[-1].split(':')[0]}"] = array
    return named


def _keras_3(path: Path, arrays: Mapping[str, Any], titles: Mapping[str, Any]) -> dict[str, Any]:
    """``layers/conv2d/vars/0`` to ``conv1/kernel``: the layer's own name is an attribute, weights go by position."""
    layers: dict[str, dict[int, Any]] = {}
    for name, array in arrays.items():
        group, _, position = name.rpartition("/")
        if group.endswith("vars") and position.isdecimal() and not group.startswith("optimizer"):
            layers.setdefault(group, {})[int(position)] = array
    named = {}
    for group, weights in layers.items():
        title = titles.get(group)
        if title is None:
            raise CheckpointError(
                f"{path} does not say what its layers are called ({group})",
                hint="save it again by a later Keras 3, or as the older .h5",
            )
        ranks = tuple(weights[position].ndim for position in sorted(weights))
        if ranks == (1, 1, 1, 1):
            kinds = ("gamma", "beta", "moving_mean", "moving_variance")
        elif ranks == (1, 1, 1):  # a normalisation that does not scale
            kinds = ("beta", "moving_mean", "moving_variance")
        elif ranks in ((4, 4), (4, 4, 1)):
            kinds = ("depthwise_kernel", "pointwise_kernel", "bias")
        elif ranks in ((2,), (4,), (2, 1), (4, 1)):
            kinds = ("kernel", "bias")
        elif ranks in ((4, 4), (4, 4, 1)):  # a separable convolution
            kinds = ("depthwise_kernel", "pointwise_kernel", "bias")
        else:
            raise CheckpointError(f"{path}: layer {title!r} is of no known kind (weights of rank {ranks})")
        named |= {f"{title}/{kind}": weights[position] for kind, position in zip(kinds, sorted(weights), strict=False)}
    return named
