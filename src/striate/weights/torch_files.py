"""Files of ``torch.save`` to their content: the zip archives of today, and the rows of pickles of before PyTorch 1.6.

The pickle is read as data (`pickled`), and each tensor shares the pages of the file, which is mapped into memory.
Before that, its sizes are held against the bytes that the file has.
"""

from __future__ import annotations

import math
import mmap
import struct
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, final

import torch

from striate.core.errors import CheckpointError
from striate.weights import pickled
from striate.weights.pickled import Stored, StoredTensor

MAGIC = 0x1950A86A20F9469CFC6C
"""What the first pickle of an old file holds."""
_OLD = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


@final
@dataclass(frozen=True, slots=True)
class TorchFile:
    """What a file of ``torch.save`` holds, and where its numbers lie.

    Args:
        path: The file.
        content: Its pickle (`pickled.interpret`).
        positions: Each storage's first byte in the file and number of bytes.
    """

    path: Path
    content: Any
    positions: dict[str, tuple[int, int]]

    def tensors(self, found: dict[str, StoredTensor]) -> dict[str, torch.Tensor]:
        """Records of tensors as tensors, which share the file's pages until they are written to.

        Raises:
            CheckpointError: A tensor is not in the file, larger than what is there, or of a kind that no weights are.
        """
        whole = torch.from_file(str(self.path), shared=False, size=self.path.stat().st_size, dtype=torch.uint8)
        return {name: self._tensor(name, each, whole) for name, each in found.items()}

    def _tensor(self, name: str, found: StoredTensor, whole: torch.Tensor) -> torch.Tensor:
        stored = found.stored
        if stored is None:
            raise CheckpointError(
                f"{self.path}: {name} is {found.kind}, which no network takes", hint="save dense tensors in float32"
            )
        dtype = getattr(torch, found.dtype or _OLD.get(stored.kind, ""), None)
        if not isinstance(dtype, torch.dtype):
            raise CheckpointError(f"{self.path}: {name} holds numbers of an unknown type ({stored.kind})")
        if stored.key not in self.positions:
            raise CheckpointError(
                f"{self.path} is cut short: the numbers of {name} are missing", hint="fetch the file again"
            )
        first, length = self.positions[stored.key]
        held, count = length // dtype.itemsize, math.prod(found.shape)
        last = found.offset + sum((n - 1) * step for n, step in zip(found.shape, found.strides, strict=True))
        if count and (last >= held or count > held):
            raise CheckpointError(
                f"{self.path}: {name} is said to hold {count:,} numbers, and the file has {held:,} for it",
                hint="fetch the file again, or save its tensors as .safetensors",
            )
        if not count:
            return torch.empty(found.shape, dtype=dtype)
        numbers = whole[first : first + held * dtype.itemsize]
        aligned = numbers if first % dtype.itemsize == 0 else numbers.clone()
        row = aligned.view(dtype)
        return row.as_strided(found.shape, found.strides, row.storage_offset() + found.offset)


def read(path: Path) -> TorchFile:
    """Read the pickle of a file, and find its storages.

    Raises:
        CheckpointError: It asks for something to be executed, or is no file of tensors.
        Exception: The file is damaged; the caller's boundary takes it.
    """
    with path.open("rb") as stream:
        if stream.read(4) == b"PK\x03\x04":
            return _read_zip(path, stream)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:  # reads no more than there is
            return _read_old(path, mapped)


def _read_zip(path: Path, stream: IO[bytes]) -> TorchFile:
    with zipfile.ZipFile(stream) as archive:
        members = {each.filename: each for each in archive.infolist()}
        pickle_name = next((name for name in members if name.endswith("data.pkl") and name.count("/") <= 1), None)
        if pickle_name is None:
            raise CheckpointError(f"{path} is a zip archive without tensors of PyTorch", hint="unpack it first")
        root = pickle_name.removesuffix("data.pkl")
        if f"{root}constants.pkl" in members:
            raise CheckpointError(
                f"{path} is a TorchScript program, which is not run",
                hint="where it was made, save the tensors alone: torch.save(model.state_dict(), FILE)",
            )
        order = members.get(f"{root}byteorder")
        if order is not None and archive.read(order) == b"big":
            raise CheckpointError(f"{path} was written by a big-endian machine", hint="save it as .safetensors")
        packed = [name for name, each in members.items() if each.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise CheckpointError(
                f"{path} was packed again: PyTorch does not compress {packed[0]}", hint="fetch the original file"
            )
        content = pickled.interpret(BytesIO(archive.read(pickle_name)), str(path))
        positions = {}
        for name, each in members.items():
            if name.startswith(f"{root}data/"):
                stream.seek(each.header_offset)
                fields = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
                first = each.header_offset + _LOCAL_HEADER.size + fields[9] + fields[10]
                positions[name.removeprefix(f"{root}data/")] = (first, _within(path, first, each.file_size))
    return TorchFile(path, content, positions)


def _read_old(path: Path, stream: mmap.mmap) -> TorchFile:
    """Four pickles (magic, protocol, system, content), the storages' names, and each storage behind its length."""
    if pickled.interpret(stream, str(path)) != MAGIC:
        raise CheckpointError(
            f"{path} is a pickle, but not one that torch.save wrote", hint="save the tensors as .safetensors"
        )
    pickled.interpret(stream, str(path))
    if pickled.interpret(stream, str(path)).get("little_endian") is False:
        raise CheckpointError(f"{path} was written by a big-endian machine", hint="save it as .safetensors")
    content = pickled.interpret(stream, str(path))
    kinds: dict[str, Stored] = _storages(content)
    positions = {}
    for key in pickled.interpret(stream, str(path)):
        (count,) = struct.unpack("<q", stream.read(8))
        kind = kinds[key].kind if key in kinds else None
        size = getattr(torch, _OLD[kind]).itemsize if kind in _OLD else 0
        if size == 0:
            break  # of a storage that nothing uses not even the length is known; what follows cannot be found
        first = stream.tell()
        positions[key] = (first, _within(path, first, count * size))
        stream.seek(count * size, 1)
    return TorchFile(path, content, positions)


def _within(path: Path, first: int, length: int) -> int:
    """The length of a storage, which must end within the file."""
    if length < 0 or first + length > path.stat().st_size:
        raise CheckpointError(f"{path} is cut short", hint="fetch the file again")
    return length


def _storages(content: Any) -> dict[str, Stored]:
    """Every storage of a pickle's content by its name; each container is looked into once."""
    found: dict[str, Stored] = {}
    seen: set[int] = set()
    pending = [content]
    while pending:
        each = pending.pop()
        if isinstance(each, StoredTensor) and each.stored is not None:
            found[each.stored.key] = each.stored
        elif isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            pending += each.values() if isinstance(each, dict) else each
    return found
