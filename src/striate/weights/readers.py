"""Files of weights to named tensors. Nothing in a file is ever executed.

==========================================  =============================================================
suffix                                      how it is read
==========================================  =============================================================
``.safetensors``                            memory-mapped
``.pt .pth .th .tar .bin .ckpt``            its pickle as data (`pickled`), its tensors memory-mapped
``.npz``                                    plain arrays; pickles refused
``.h5 .hdf5 .weights.h5``                   h5py in a process of its own; names become ``layer/weight``
==========================================  =============================================================

Content counts before the suffix, where it says for certain what a file is.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from striate.core.errors import CheckpointError
from striate.core.reading import reading
from striate.weights import contents, hdf5, torch_files
from striate.weights.pickled import StoredTensor
from striate.weights.wrappers import unwrap, without_prefixes

_AGAIN = "fetch or convert the file again"
_NUMBERS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool}
    | {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64}
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights of a file.

    Args:
        tensors: By the file's names, without wrappers and prefixes.
        notes: What was chosen and left out, a sentence each.
    """

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Wrappers (``{"state_dict": ...}``) and the prefixes of programs (``module.``, ``model.backbone.``) are taken off.
    Of several sets of weights the averaged ones (EMA) are taken.

    Args:
        path: The file.
        key: Which of several sets of weights, such as ``"state_dict"``; None chooses.

    Raises:
        CheckpointError: The file is missing, cut short, of no known kind, holds something that would have to be
            executed, or has NaN or infinite values.
        OutOfMemoryError: It does not fit into memory.
    """
    return read_weights(path, key).tensors


def read_weights(path: str | Path, key: str | None = None) -> Weights:
    """`read_state`, with what was chosen on the way.

    Args:
        path: The file.
        key: As for `read_state`.

    Raises:
        CheckpointError: As `read_state`.
        OutOfMemoryError: As `read_state`.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"there is no file {path}")
    with reading(path, CheckpointError, "weights: it is cut short or not what its name says", hint=_AGAIN):
        reader = _READERS[contents.kind(path, frozenset(_READERS))]
        found = reader(path, key)
        if not found.tensors:
            raise CheckpointError(f"{path} holds no tensors")
        short, taken = without_prefixes(list(found.tensors))
        state = {short[name]: tensor for name, tensor in found.tensors.items()}
        _check(path, state)
    notes = (*found.notes, f"the names in {path.name} begin with {taken}, which was left out") if taken else found.notes
    return Weights(tensors=state, notes=notes)


def _check(path: Path, state: dict[str, Tensor]) -> None:
    """Refuse tensors that no network takes, and numbers that are none."""
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            kind = "quantised" if tensor.is_quantized else "without numbers" if tensor.is_meta else "sparse"
            raise CheckpointError(
                f"{path}: {name} is {kind}, which no network takes", hint="save dense tensors in float32"
            )
        if tensor.dtype not in _NUMBERS:
            word = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{path}: {name} holds {word}, which is not read", hint="fetch the weights in float32 or float16"
            )
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise CheckpointError(f"{path} has NaN or infinite values in {', '.join(bad[:3])}{more}")


def _max_bytes(path: Path) -> int:
    """What the arrays of a packed file may take: more than any weights unpack to."""
    return (64 << 20) + 16 * path.stat().st_size


def _flat(path: Path, tensors: dict[str, Tensor], key: str | None) -> Weights:
    if key is not None:
        raise CheckpointError(f"{path} has one set of weights, none called {key!r}", hint=f"leave #{key} out")
    return Weights(tensors=tensors)


def _read_safetensors(path: Path, key: str | None) -> Weights:
    from safetensors.torch import load_file

    return _flat(path, load_file(path), key)


def _read_torch(path: Path, key: str | None) -> Weights:
    found = torch_files.read(path)
    records, notes = unwrap(path, found.content, key, StoredTensor)
    return Weights(tensors=found.tensors(records), notes=notes)


def _read_h5(path: Path, key: str | None) -> Weights:
    return _flat(path, hdf5.read(path, _max_bytes(path)), key)


def _read_npz(path: Path, key: str | None) -> Weights:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        declared = sum(each.file_size for each in members)
        if declared > _max_bytes(path):
            raise CheckpointError(
                f"{path} says that it holds {declared:,} bytes, more than a file of its size can", hint=_AGAIN
            )
        arrays = {each.filename.removesuffix(".npy"): _array(path, each, archive) for each in members}
    return _flat(path, arrays, key)


def _array(path: Path, member: zipfile.ZipInfo, archive: zipfile.ZipFile) -> Tensor:
    """One array of an ``.npz``, whose header must agree with the bytes that are there."""
    import numpy as np

    content = archive.read(member)
    stream = BytesIO(content)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise CheckpointError(f"{path} holds a pickle, which is refused; it was not run", hint="save plain arrays")
    if dtype.kind not in "fiub" or (dtype.kind == "f" and dtype.itemsize > 8):
        raise CheckpointError(f"{path} holds {dtype} in {member.filename}, not plain numbers", hint="save plain arrays")
    count, rest = math.prod(shape), len(content) - stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize != rest:
        raise CheckpointError(
            f"{path}: {member.filename} says that it holds {count:,} numbers, and has {rest // dtype.itemsize:,}",
            hint=_AGAIN,
        )
    flat = np.frombuffer(content, dtype, count, offset=stream.tell()).astype(dtype.newbyteorder("="))
    return torch.from_numpy(flat.reshape(shape, order="F" if fortran else "C"))


_READERS: dict[str, Callable[[Path, str | None], Weights]] = {
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".pt", ".pth", ".th", ".tar", ".bin", ".ckpt"), _read_torch),
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
}
