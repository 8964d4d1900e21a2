"""The members of a zip: their names, offsets and sizes, read from its central directory.

Python's zipfile makes a large object of each member, 600 MB and 50 s for a million of them, before anything can be
checked. Here a member is checked as it is read.

Format: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

_END = struct.Struct("<4s4H2LH")
_END_MARK, _END_MAX_COMMENT = b"PK\x05\x06", 1 << 16
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_MARK = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_MARK = b"PK\x06\x06"
_MEMBER = struct.Struct("<4s4B4HL2L5H2L")
_MEMBER_MARK = b"PK\x01\x02"
_EXTRA64 = 1
_IN_EXTRA = 0xFFFFFFFF
_ENCRYPTED, _UTF8 = 1, 0x800


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member.

    Args:
        name: Its path as stored.
        kind: ``other`` for a link or a device.
        encrypted: Whether it needs a password.
        method: 0 if it is stored, 8 if it is deflated; there are others.
        header: Offset of its local header.
        packed: Its size in the zip, in bytes.
        size: Its size when unpacked, in bytes, as the directory says.
        checksum: CRC-32 of its content.
    """

    name: str
    kind: Literal["file", "folder", "other"]
    encrypted: bool
    method: int
    header: int
    packed: int
    size: int
    checksum: int


def members(stream: IO[bytes]) -> Iterator[ZipMember]:
    """The members of a zip.

    Args:
        stream: A file, opened for reading.

    Raises:
        ValueError: The directory is damaged, missing or hostile, a name is not in the encoding that it declares, or the
            zip is one of several parts.
    """
    end = os.fstat(stream.fileno()).st_size
    start, size, shift = _directory(stream, end)
    stream.seek(start)
    left = size
    while left >= _MEMBER.size:
        fields = _MEMBER.unpack(_read(stream, _MEMBER.size))
        if fields[0] != _MEMBER_MARK:
            raise ValueError(f"its directory is damaged, {left:,} bytes before its end")
        name_bytes, extra_bytes, comment_bytes = fields[12:15]
        name = _read(stream, name_bytes)
        extra = _read(stream, extra_bytes)
        stream.seek(comment_bytes, os.SEEK_CUR)
        left -= _MEMBER.size + name_bytes + extra_bytes + comment_bytes
        if left < 0:
            raise ValueError("its directory ends within a member")
        yield _member(fields, name, extra, shift, end)


def _directory(stream: IO[bytes], end: int) -> tuple[int, int, int]:
    """Where the directory is: offset, size, and how many bytes stand before the zip in its file."""
    tail_start = max(0, end - _END.size - _END_MAX_COMMENT)
    stream.seek(tail_start)
    tail = stream.read()
    place = tail.rfind(_END_MARK)
    while place >= 0 and place + _END.size > len(tail):
        place = tail.rfind(_END_MARK, 0, place)
    if place < 0:
        raise ValueError("it has no directory; it is cut short, or no zip")
    _, disk, directory_disk, _, _, size, offset, _ = _END.unpack_from(tail, place)
    before = tail_start + place
    if before >= _LOCATOR.size:
        stream.seek(before - _LOCATOR.size)
        mark, _, _, disks = _LOCATOR.unpack(_read(stream, _LOCATOR.size))
        if mark == _LOCATOR_MARK:
            before -= _LOCATOR.size + _END64.size
            stream.seek(max(0, before))
            mark, _, _, _, disk, directory_disk, _, _, size, offset = _END64.unpack(_read(stream, _END64.size))
            if mark != _END64_MARK or disks > 1:
                raise ValueError("its directory is damaged, or it is one of several parts")
    if disk or directory_disk:
        raise ValueError("it is one of several parts")
    start = before - size
    if start < 0 or offset > start:
        raise ValueError("its directory is cut short")
    return start, size, start - offset


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ValueError("its directory is cut short")
    return data


def _member(fields: tuple[int, ...], name: bytes, extra: bytes, shift: int, end: int) -> ZipMember:
    flags, method, checksum, packed, size = fields[5], fields[6], fields[9], fields[10], fields[11]
    attributes, header = fields[17], fields[18]
    if _IN_EXTRA in (packed, size, header):
        size, packed, header = _large(extra, size, packed, header)
    text = _text(name, declared=bool(flags & _UTF8))
    if header + shift + packed > end:
        raise ValueError(f"the member {text[:200]!r} is not inside; it is cut short or damaged")
    mode = stat.S_IFMT(attributes >> 16)
    return ZipMember(
        name=text,
        kind="folder" if text.endswith("/") else "file" if mode in (0, stat.S_IFREG) else "other",
        encrypted=bool(flags & _ENCRYPTED),
        method=method,
        header=header + shift,
        packed=packed,
        size=size,
        checksum=checksum,
    )


def _large(extra: bytes, *values: int) -> list[int]:
    """Sizes and offset of more than 32 bits, which are in an extra field."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == _EXTRA64:
            numbers = iter(struct.unpack_from(f"<{min(length, len(extra) - place - 4) // 8}Q", extra, place + 4))
            found = [next(numbers, -1) if value == _IN_EXTRA else value for value in values]
            if min(found) < 0 or max(found) >> 62:
                break
            return found
        place += 4 + length
    raise ValueError("a member's size is missing or implausible")


def _text(name: bytes, *, declared: bool) -> str:
    """The path of a member. Many programs write UTF-8 without declaring it; else it is code page 437."""
    try:
        return name.decode().replace("\\", "/")
    except UnicodeDecodeError:
        if declared:
            raise
        return name.decode("cp437").replace("\\", "/")
