"""The members of a tar: names, offsets and sizes, read from the headers alone.

Python's tarfile is not used, because hostile headers make it loop (negative sizes), recurse (a header for a header for
a header), or end in silence (a damaged header after the first). Here every header moves forward within the file.

Formats: ustar, pax and GNU. POSIX.1-2008, "pax Interchange Format", describes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Literal

_BLOCK = 512
_MAX_EXTENDED = 1 << 20
_MAX_SHOWN = 200
_FILES = b"0\x007"  # a regular file, the same in old archives, and a contiguous file
_FOLDER, _LONG_NAME, _LONG_LINK = b"5", b"L", b"K"
_EXTENDED, _GLOBAL = b"xX", b"g"


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """One member.

    Args:
        name: Its path as stored.
        kind: ``other`` for a link, a device, a named pipe, a sparse file and the like.
        offset: Of its first byte in the tar.
        size: In bytes.
    """

    name: str
    kind: Literal["file", "folder", "other"]
    offset: int
    size: int


@dataclass(slots=True)
class _Extension:
    """What headers before a member's own say of it."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False
    pending: bool = field(default=False)


def members(stream: IO[bytes]) -> Iterator[TarMember]:
    """The members of an uncompressed tar.

    Args:
        stream: A file, opened for reading.

    Raises:
        ValueError: A header is damaged or hostile, a name is not UTF-8, or the file is cut short.
    """
    end = os.fstat(stream.fileno()).st_size
    if not end:
        raise ValueError("it is empty")
    offset, said = 0, _Extension()
    while offset < end:
        block = _read(stream, offset, _BLOCK, end)
        offset += _BLOCK
        if not block.strip(b"\0"):
            break
        _check_sum(block, offset)
        kind, size = block[156:157], _number(block[124:136])
        if kind in (_LONG_NAME, _LONG_LINK, _GLOBAL) or kind in _EXTENDED:
            text = _read(stream, offset, min(size, _MAX_EXTENDED + 1), end)
            _extend(said, kind, text)
            offset += _padded(size)
            continue
        size = size if said.size is None else said.size
        name = _name(block, said)
        is_folder = kind == _FOLDER or (kind in _FILES and name.endswith("/"))
        is_file = kind in _FILES and not is_folder and not said.is_sparse
        if is_file and offset + size > end:
            raise ValueError(
                f"it is cut short: the member {name[:_MAX_SHOWN]!r} ends at {offset + size:,}, the file at {end:,}"
            )
        yield TarMember(
            name=name.rstrip("/"),
            kind="folder" if is_folder else "file" if is_file else "other",
            offset=offset,
            size=size,
        )
        offset += 0 if is_folder else _padded(size)
        said = _Extension()
    if said.pending:
        raise ValueError("it ends after a header that belongs to a further member")


def _read(stream: IO[bytes], offset: int, size: int, end: int) -> bytes:
    if offset + size > end:
        raise ValueError(f"it is cut short at {end:,} bytes")
    if size > _MAX_EXTENDED:
        raise ValueError(f"the header at {offset:,} is larger than {_MAX_EXTENDED:,} bytes")
    stream.seek(offset)
    return stream.read(size)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _check_sum(block: bytes, offset: int) -> None:
    """Compare the header's checksum, which counts its own field as spaces; some old programs add signed bytes."""
    counted = block[:148] + b" " * 8 + block[156:]
    total = sum(counted)
    signed = total - 256 * sum(byte > 127 for byte in counted)
    if _number(block[148:156]) not in (total, signed):
        raise ValueError(f"the header at {offset - _BLOCK:,} is damaged or is none")


def _number(text: bytes) -> int:
    """A number in octal digits, or in base 256 if the first bit is set."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big", signed=False) & ((1 << (8 * len(text) - 1)) - 1)
        if text[0] & 0x40 or value >> 62:
            raise ValueError("a header has a negative or implausible number")
        return value
    digits = text.split(b"\0", 1)[0].strip() or b"0"
    if not digits.isdigit():
        raise ValueError(f"a header has {digits!r} in place of a number")
    return int(digits, 8)


def _extend(said: _Extension, kind: bytes, text: bytes) -> None:
    """Take what a header says of the next member."""
    if kind == _LONG_NAME:
        said.name = text.split(b"\0", 1)[0]
    records = dict(_records(text)) if kind in _EXTENDED or kind == _GLOBAL else {}
    if kind == _GLOBAL and records.keys() & {b"path", b"size"}:
        raise ValueError("a global header sets the path or size of all members")
    if kind != _GLOBAL:
        said.pending = True
        said.name = records.get(b"path", said.name)
        said.is_sparse |= any(key.startswith(b"GNU.sparse.") for key in records)
    if b"size" in records:
        if not records[b"size"].isdigit() or len(records[b"size"]) > 18:
            raise ValueError(f"a header has {records[b'size'][:20]!r} in place of a size")
        said.size = int(records[b"size"])


def _records(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of a pax header, each ``LENGTH KEY=VALUE`` and a newline; the length counts itself."""
    start = 0
    while start < len(text) and text[start]:
        digits = text[start : start + 20].split(b" ", 1)[0]
        length = int(digits) if digits.isdigit() else 0
        record = text[start : start + length]
        if len(record) < length or not record.endswith(b"\n"):
            raise ValueError("an extended header is damaged")
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals:
            raise ValueError("an extended header is damaged")
        yield key, value
        start += length


def _name(block: bytes, said: _Extension) -> str:
    name = said.name
    if name is None:
        name = block[:100].split(b"\0", 1)[0]
        prefix = block[345:500].split(b"\0", 1)[0]
        if prefix and block[257:263] == b"ustar\0":  # GNU headers have other things there
            name = prefix + b"/" + name
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        shown = name[:_MAX_SHOWN].decode("utf-8", "backslashreplace")
        raise ValueError(f"a member's name is not UTF-8: {shown}") from error
