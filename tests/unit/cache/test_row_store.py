"""Rows survive kills and torn files; a key never stands for half a row."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import numpy as np
import pytest

from striate.cache import keys
from striate.cache import store as module
from striate.cache.store import RowStore
from striate.core.errors import StorageError


def key(i: int) -> bytes:
    return hashlib.sha256(str(i).encode()).digest()


def filled(folder: Path, n: int = 10) -> RowStore:
    store = RowStore(folder, (3,), "float16")
    with store.writing():
        rows = np.arange(3 * n).reshape(n, 3)
        store.append([key(i) for i in range(n)], rows, [i != 4 for i in range(n)])
    return store


def test_rows_come_back_in_any_order(tmp_path) -> None:
    filled(tmp_path / "s")
    again = RowStore(tmp_path / "s", (3,), "float16")
    assert (again.view()[again.places([key(7), key(0)])] == [[21, 22, 23], [0, 1, 2]]).all()
    assert again.unreadable(key(4))
    assert key(4) in again
    assert key(11) not in again


@pytest.mark.parametrize(("file", "cut", "left"), [("rows.bin", 5, 9), ("keys.bin", 1, 9), ("rows.bin", 59, 0)])
def test_a_torn_tail_is_ignored(tmp_path, file, cut, left) -> None:
    filled(tmp_path / "s")
    path = tmp_path / "s" / file
    path.write_bytes(path.read_bytes()[:-cut])
    again = RowStore(tmp_path / "s", (3,), "float16")
    assert len(again) == left
    with again.writing():
        again.append([key(50)], np.full((1, 3), 50), [True])
    last = RowStore(tmp_path / "s", (3,), "float16")
    assert len(last) == left + 1
    assert (last.view()[last.places([key(50)])] == 50).all()


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path, monkeypatch) -> None:
    store = filled(tmp_path / "s")

    def full(path: Path, at: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_append", full)
    with store.writing(), pytest.raises(StorageError, match="no space"):
        store.append([key(50)], np.zeros((1, 3)), [True])
    assert len(RowStore(tmp_path / "s", (3,), "float16")) == 10


def test_keys_differ_for_different_inputs() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert keys.of_image(digest).hex() == digest
    assert keys.of_image(digest, "view 1") != keys.of_image(digest, "view 2")
    assert keys.of_folder(a=1, b=(2, 3)) == keys.of_folder(b=[2, 3], a=1) != keys.of_folder(a=1, b=(2, 4))
