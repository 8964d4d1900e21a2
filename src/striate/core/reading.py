"""The boundary around parsers of files from elsewhere: whatever a parser raises, the caller gets a `StriateError`.

Parsers raise anything on damaged or hostile files: struct.error, IndexError, RecursionError, NotImplementedError and
more. Lists of expected exceptions are never complete. Keep the block under `reading` to the parsing itself, because a
mistake of ours inside it is reported as damage too; ``--debug`` shows its traceback.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import final

from striate.core.errors import OutOfMemoryError, StriateError
from striate.core.words import printable

_MAX_REASON = 300
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@final
class reading:  # noqa: N801 - used like a function, as contextlib.suppress is
    """A context in which a file is parsed: every exception but ours becomes an error that names the file.

    Args:
        source: A path, which must be a regular file (links are followed): opening a named pipe would wait for a writer
            for ever. Or a name for messages, if the bytes have been read.
        error: The class of the error.
        what: What the file is read as, such as ``"a zip archive"``.
        hint: What to do about damage.

    Raises:
        StriateError: One of the block's own passes unchanged. `OutOfMemoryError` if memory runs out, which is no
            verdict on the file. Otherwise `error`.

    Example:
        >>> from striate.core.errors import DataError
        >>> with reading("sizes", DataError, "a number"):
        ...     int("12 px")
        Traceback (most recent call last):
            ...
        striate.core.errors.DataError: sizes cannot be read as a number: invalid literal for int() with base 10: '12 px'
    """

    __slots__ = ("_error", "_hint", "_source", "_what")

    def __init__(self, source: Path | str, error: type[StriateError], what: str, *, hint: str | None = None) -> None:
        self._source = source
        self._error = error
        self._what = what
        self._hint = hint

    def __enter__(self) -> None:
        if isinstance(self._source, Path):
            refuse_special(self._source, self._error)

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if raised is None or isinstance(raised, StriateError) or not _from_a_parser(raised):
            return
        if isinstance(raised, MemoryError) or (isinstance(raised, OSError) and raised.errno == errno.ENOMEM):
            raise OutOfMemoryError(
                f"{self._source} does not fit into memory", hint="close other programs, or use a machine with more"
            ) from raised
        if isinstance(raised, OSError) and raised.errno is not None:
            raise _unreadable(self._source, raised, self._error) from raised
        raise self._error(
            f"{self._source} cannot be read as {self._what}: {reason(raised)}", hint=self._hint
        ) from raised


def refuse_special(path: Path, error: type[StriateError]) -> None:
    """Refuse what is not a regular file, or a link to one.

    Args:
        path: A file that is about to be opened.
        error: The class of the error.

    Raises:
        StriateError: `error`; it is missing, cannot be looked up, or is a folder, a named pipe, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as raised:  # a null character in the path
        raise error(f"{path!r} is not a path: {reason(raised)}") from raised
    except OSError as raised:
        raise _unreadable(path, raised, error) from raised
    if not stat.S_ISREG(mode):
        found = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise error(f"{path} is {found}, not a regular file", hint="give the path of a file")


def reason(raised: BaseException) -> str:
    """What an exception says, on one line of bounded length without control characters.

    Example:
        >>> reason(KeyError("width")), reason(EOFError())
        ("KeyError 'width'", 'EOFError')
    """
    text = printable(" ".join(str(raised).split()))
    if len(text) > _MAX_REASON:
        text = text[:_MAX_REASON] + " ..."
    return text if " " in text else f"{type(raised).__name__} {text}".rstrip()


def _unreadable(source: Path | str, raised: OSError, error: type[StriateError]) -> StriateError:
    why = os.strerror(raised.errno) if raised.errno is not None else str(raised)
    return error(f"{source} cannot be read: {why[:1].lower()}{why[1:]}", hint="check the path and its permissions")


def _from_a_parser(raised: BaseException) -> bool:
    """Whether a parser raised this, and not somebody who stops the process; a panic in Rust is no `Exception`."""
    return isinstance(raised, Exception) or type(raised).__name__ == "PanicException"
