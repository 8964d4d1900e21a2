from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import CheckpointError
from striate.core.events import NoProgress
from striate.data import digest as module
from striate.data.digest import digests
from striate.data.index import scan
from striate.data.stores import FileStore


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for number, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions that were read from disk."""
    seen: list[int] = []
    read = FileStore.read

    def counted(self: FileStore, i: int) -> bytes:
        seen.append(i)
        return read(self, i)

    monkeypatch.setattr(FileStore, "read", counted)
    return seen


def truth(root: Path) -> tuple[str, ...]:
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.glob("*/*.png")))


def test_digests_are_of_the_bytes(pets: Path) -> None:
    assert digests(scan(pets), NoProgress(), threads=2) == truth(pets)


def test_settled_files_are_read_once(pets: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", -1)
    first = digests(scan(pets), NoProgress())
    assert sorted(reads) == [0, 1, 2, 3]
    reads.clear()
    assert digests(scan(pets), NoProgress()) == first
    assert reads == []
    (pets / "cat/2.png").write_bytes(b"changed")
    Image.new("RGB", (5, 5)).save(pets / "dog/0.png")
    assert digests(scan(pets), NoProgress()) == truth(pets)
    assert sorted(reads) == [1, 2]


def test_a_change_that_keeps_size_and_mtime_is_detected(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", -1)
    digests(scan(pets), NoProgress())
    path = pets / "cat/1.png"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests(scan(pets), NoProgress()) == truth(pets)


def test_fresh_files_are_not_trusted_to_their_stamp(pets: Path, reads: list[int]) -> None:
    digests(scan(pets), NoProgress())
    digests(scan(pets), NoProgress())
    assert sorted(reads) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_damaged_digest_cache_only_costs_time(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", -1)
    expected = digests(scan(pets), NoProgress())
    (memory,) = (Path(os.environ["STRIATE_HOME"]) / "digests").iterdir()
    whole = memory.read_bytes()
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    for damage in (b"", b"\x93NUMPY nonsense", whole[:-40], whole[:-48], flipped, whole + bytes(48)):
        memory.write_bytes(damage)
        assert digests(scan(pets), NoProgress()) == expected


def test_an_unreadable_image_has_none(pets: Path) -> None:
    index = scan(pets)
    (pets / "dog/1.png").unlink()
    found = digests(index, NoProgress())
    assert found[2] == ""
    assert all(len(each) == 64 for i, each in enumerate(found) if i != 2)


def test_arrays_of_another_shape_are_other_images() -> None:
    index = scan("digits")
    found = digests(index, NoProgress())
    assert len(set(found)) == len({np.asarray(index.read(i)).tobytes() for i in range(len(index))})
    assert found[0] != hashlib.sha256(np.asarray(index.read(0)).tobytes()).hexdigest()


def test_a_forgotten_source_is_read_again(pets: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", -1)
    index = scan(pets)
    module.forget(index)
    digests(index, NoProgress())
    module.forget(index)
    assert digests(index, NoProgress()) == truth(pets)
    assert len(reads) == 8


def test_a_set_of_images_counts_its_members(tmp_path: Path) -> None:
    names = [hashlib.sha256(bytes([i])).hexdigest() for i in range(9)]
    module.write_set(tmp_path / "images.npy", names[:6])
    assert module.count_in_set(tmp_path / "images.npy", names[4:]) == 2


def header(text: str) -> bytes:
    data = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(data).to_bytes(2, "little") + data


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"PK\3\4 a zip",
        b"\x80\4. a pickle",
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (9,), }"),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (99999999999,), }") + bytes(72),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (9,), }") + bytes(72),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }") + bytes(72),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (3, 3), }") + bytes(72),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (9,) " + "(" * 60) + bytes(72),
        header("[" * 100) + bytes(72),
        b"\x93NUMPY\xff\xff\xff\xff",
    ],
)
def test_a_damaged_set_of_images_is_an_error_that_names_it(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "images.npy").write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"images\.npy cannot be read as a set of images"):
        module.count_in_set(tmp_path / "images.npy", ["0" * 64])
