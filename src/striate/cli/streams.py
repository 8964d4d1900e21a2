"""Standard streams on which printing never ends a command: closed ones, narrow encodings, a terminal that went away."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO, final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def prepare() -> None:
    """Make the three standard streams safe to use.

    A closed stream becomes the null device; otherwise the next file that is opened would get its number, and messages
    would be written into that file. Characters that the encoding has no code for are written as
    escapes. What cannot be written to standard error is lost, because the work matters more than its progress.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            while os.open(os.devnull, os.O_RDWR) < number:  # takes the lowest number that is free
                pass
    sys.stdin = sys.stdin or _opened(0, "r")
    sys.stdout = _escaping(sys.stdout) or _opened(1, "w")
    sys.stderr = _unfailing(_escaping(sys.stderr)) or _opened(2, "w")


def _opened(number: int, mode: str) -> TextIO:
    return io.TextIOWrapper(open(number, f"{mode}b", closefd=False), encoding="utf-8", errors="backslashreplace")


def _escaping(stream: TextIO | None) -> TextIO | None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _unfailing(stream: TextIO | None) -> TextIO | None:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = io.BufferedWriter(_Lossy(stream.fileno()))
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)


@final
class _Lossy(io.RawIOBase):
    """A file descriptor whose failing writes count as done.

    Args:
        number: The descriptor; it stays open.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Buffer, /) -> int:
        try:
            return os.write(self._number, data)
        except OSError:  # the terminal was closed, the pipe has no reader, the disk is full
            return memoryview(data).nbytes
