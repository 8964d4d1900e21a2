"""Files of weights to named tensors. Nothing in a file is ever executed.

==========================================  =============================================================
suffix                                      how it is read
==========================================  =============================================================
``.safetensors``                            memory-mapped
``.pt .pth .th .tar .bin .ckpt``            PyTorch's weights-only unpickler, memory-mapped where possible
``.npz``                                    NumPy, pickles refused
``.h5 .hdf5 .weights.h5``                   h5py; names become ``layer/weight``
==========================================  =============================================================
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.core.errors import CheckpointError

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
_PREFIXES = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
# what the parsers raise when bytes are missing or make no sense
_BROKEN = (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Wrappers (``{"state_dict": ...}``) are taken off, and so is a ``module.`` before every name.

    Args:
        path: The file; its suffix says what it is.

    Raises:
        CheckpointError: The file is missing, cut short, of no known kind, holds something that would have to be
            executed, or has NaN or infinite values.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CheckpointError(
            f"{path} is no kind of file that weights are read from", hint=f"known: {' '.join(sorted(_READERS))}"
        )
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    state = reader(path)
    if not state:
        raise CheckpointError(f"{path} holds no tensors")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise CheckpointError(f"{path} has NaN or infinite values in {', '.join(bad[:3])}{more}")
    return state


def _broken(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CheckpointError(
        f"{path} is cut short or not what its name says ({reason})", hint="fetch or convert the file again"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, *_BROKEN) as error:
        raise _broken(path, error) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what matters is raised
            # files from before PyTorch 1.6 are no zip archives and cannot be mapped
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None:
            raise _broken(path, error) from error
        raise CheckpointError(
            f"{path} asks for {named[1]} to be executed, which is refused; nothing of it was run",
            hint="save the tensors alone, best as .safetensors",
        ) from error
    except _BROKEN as error:
        raise _broken(path, error) from error
    return _tensors(path, found)


def _tensors(path: Path, found: Any) -> dict[str, Tensor]:
    while isinstance(found, Mapping):
        inner = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not named tensors")
    others = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{path} holds more than tensors: {', '.join(others[:3])}", hint="save the tensors alone")
    return {str(name): tensor.detach() for name, tensor in found.items()}


def _read_npz(path: Path) -> dict[str, Tensor]:
    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (zipfile.BadZipFile, *_BROKEN) as error:
        if "pickle" in str(error).lower():
            raise CheckpointError(
                f"{path} holds a pickle, which is refused; nothing of it was run", hint="save plain arrays"
            ) from error
        raise _broken(path, error) from error


def _read_h5(path: Path) -> dict[str, Tensor]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if not isinstance(root, h5py.Group):
                raise CheckpointError(f"{path} is no file of Keras weights")
            arrays: dict[str, Any] = {}

            def keep(name: str, node: Any) -> None:
                if isinstance(node, h5py.Dataset):
                    arrays[name] = node[()]

            root.visititems(keep)  # follows no link, so nothing outside the file is read
            groups = {name.rpartition("/")[0] for name in arrays}
            titles = {name: root[name].attrs.get("name") for name in groups if name}
    except _BROKEN as error:
        raise _broken(path, error) from error
    named = _keras_3(path, arrays, titles) if any("/vars/" in f"/{name}" for name in arrays) else _keras_2(arrays)
    return {name: torch.from_numpy(array) for name, array in named.items()}


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
        title = titles[group]
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


_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".pt", ".pth", ".th", ".tar", ".bin", ".ckpt"), _read_torch),
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
}
