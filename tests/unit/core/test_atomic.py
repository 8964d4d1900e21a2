"""Atomic file writes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from striate.core import atomic
from striate.core.errors import StorageError


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(StorageError, match="no space"), atomic.replacing(target) as stream:
        stream.write(b"new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_write_text_uses_utf8_and_keeps_line_ends(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "file", "grün\n")
    assert (tmp_path / "file").read_bytes() == "grün\n".encode()
