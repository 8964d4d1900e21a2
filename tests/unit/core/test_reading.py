"""The boundary around parsers."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

import pytest

from striate.core.errors import CheckpointError, DataError, ImageError, OutOfMemoryError
from striate.core.reading import reading, reason, refuse_special


class PanicException(BaseException):
    """The name that PyO3 gives to a panic in Rust."""


DAMAGE = (
    struct.error("unpack requires a buffer of 4 bytes"),
    IndexError("index out of range"),
    KeyError("shape"),
    NotImplementedError("compression type 9"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RecursionError("maximum recursion depth exceeded"),
    RuntimeError("Failed to decode frame"),
    AssertionError(),
    StopIteration(),
    zlib.error("Error -3"),
    OSError("image file is truncated"),
    PanicException("range end out of bounds"),
)


@pytest.mark.parametrize("raised", DAMAGE, ids=lambda each: type(each).__name__)
def test_whatever_a_parser_raises_names_the_file(raised: BaseException) -> None:
    boundary = reading("net.npz", CheckpointError, "NumPy arrays", hint="save it again")
    with pytest.raises(CheckpointError, match=r"^net\.npz cannot be read as NumPy arrays: ") as caught, boundary:
        raise raised
    assert caught.value.hint == "save it again"
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_full_memory_is_not_damage(raised: Exception) -> None:
    boundary = reading("big.h5", DataError, "HDF5")
    with pytest.raises(OutOfMemoryError, match=r"^big\.h5 does not fit into memory"), boundary:
        raise raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(1), ImageError("too large")])
def test_interrupts_and_errors_of_striate_pass_unchanged(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught, reading("a.zip", DataError, "a zip archive"):
        raise raised
    assert caught.value is raised


def test_an_error_of_the_system_says_its_own_reason() -> None:
    boundary = reading("a.zip", DataError, "a zip archive")
    with pytest.raises(DataError, match=r"^a\.zip cannot be read: permission denied"), boundary:
        raise PermissionError(errno.EACCES, "Permission denied", "a.zip")


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "real.zip").write_bytes(b"PK")
    (tmp_path / "link.zip").symlink_to("real.zip")
    for name, found in (("pipe.zip", "a named pipe"), ("folder.zip", "a folder"), ("none.zip", "no such file")):
        with pytest.raises(DataError, match=found), reading(tmp_path / name, DataError, "a zip archive"):
            pytest.fail("the block runs")
    with pytest.raises(DataError, match="a device"):
        refuse_special(Path("/dev/zero"), DataError)
    with pytest.raises(DataError, match="is not a path"):
        refuse_special(Path("a\0b"), DataError)
    for name in ("real.zip", "link.zip"):
        with reading(tmp_path / name, DataError, "a zip archive"):
            assert (tmp_path / name).read_bytes() == b"PK"


def test_a_reason_is_one_short_line_without_control_characters() -> None:
    assert reason(ValueError("a\nb\x1b[2J")) == r"a b\x1b[2J"
    assert len(reason(ValueError("many words " * 1000))) < 320
