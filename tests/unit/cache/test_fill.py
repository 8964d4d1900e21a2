"""The cache holds what the images under its digests decode to, whatever happens to files, memory and disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.cache import keys
from striate.cache.fill import Pass, fill
from striate.cache.store import KEY_BYTES, RowStore
from striate.core.errors import DataError, EngineError, ImageReadError
from striate.core.events import NoProgress
from striate.core.preprocess import Preprocess
from striate.data import digest, loaders
from striate.data.digest import digests as remembered
from striate.data.index import ImageIndex, scan

LOOK = Preprocess(size=(4, 4))
COUNT = 12


@pytest.fixture
def index(tmp_path: Path) -> ImageIndex:
    for number in range(COUNT):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shade(folder / f"{number}.png", 10 * number)
    return scan(str(tmp_path / "images"))


def shade(path: Path, value: int) -> None:
    Image.new("RGB", (9, 9), (value, 0, 0)).save(path)


def digests(index: ImageIndex) -> list[str]:
    found = (index.read(i) for i in range(len(index)))
    return [hashlib.sha256(raw).hexdigest() for raw in found if isinstance(raw, bytes)]


def file(index: ImageIndex, position: int) -> Path:
    return Path(index.source) / index.names[position]


def store(tmp_path: Path) -> RowStore:
    return RowStore(tmp_path / "cache", (2,), "float16")


def filled(tmp_path: Path, index: ImageIndex, hashes: list[str], **options) -> tuple[RowStore, Pass]:
    rows = store(tmp_path)

    def run(pixels: np.ndarray) -> np.ndarray:
        return np.stack([pixels[:, 0, 0, 0], np.ones(len(pixels))], axis=1).astype(np.float32)

    done = fill(rows, index, range(len(index)), hashes, LOOK, run, batch=5, progress=NoProgress(), **options)
    return rows, done


def values(tmp_path: Path, hashes: list[str], positions: list[int]) -> list[float]:
    rows = store(tmp_path)
    return rows.view()[rows.places([keys.of_image(hashes[p]) for p in positions]), 0].tolist()


def shades(index: ImageIndex) -> list[float]:
    return [10.0 * int(Path(name).stem) for name in index.names]


def test_content_that_changed_since_it_was_hashed_leaves_no_row(tmp_path: Path, index: ImageIndex) -> None:
    hashes, right = digests(index), shades(index)
    shade(file(index, 3), 255)
    rows, done = filled(tmp_path, index, hashes)
    assert set(done.unreadable) == {3}
    assert "has changed since it was hashed" in done.unreadable[3]
    assert keys.of_image(hashes[3]) not in rows
    shade(file(index, 3), int(right[3]))
    assert digests(index) == hashes
    _, done = filled(tmp_path, index, hashes)
    assert (done.computed, done.unreadable) == (1, {})
    assert values(tmp_path, hashes, list(range(COUNT))) == right


def test_a_file_that_was_away_for_a_moment_is_read_the_next_time(tmp_path: Path, index: ImageIndex) -> None:
    hashes = digests(index)
    file(index, 5).rename(tmp_path / "away")
    _, done = filled(tmp_path, index, hashes)
    assert set(done.unreadable) == {5}
    (tmp_path / "away").rename(file(index, 5))
    rows, done = filled(tmp_path, index, hashes)
    assert done.unreadable == {}
    assert len(rows) == COUNT


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_a_failure_of_the_machine_is_not_remembered(tmp_path: Path, index: ImageIndex, monkeypatch, error) -> None:
    hashes = digests(index)
    with monkeypatch.context() as patched:
        read = type(index.store).read

        def fail(self: Any, i: int) -> Any:
            if i == 2 and isinstance(error, OSError):
                raise ImageReadError("cannot be read: Input/output error") from error
            return read(self, i)

        patched.setattr(type(index.store), "read", fail)
        if isinstance(error, MemoryError):
            decode = loaders.decode

            def exhausted(raw: bytes, *rest: object, **options: object) -> np.ndarray:
                if hashlib.sha256(raw).hexdigest() == hashes[2]:
                    patched.setattr(Image.Image, "resize", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
                try:
                    return decode(raw, *rest, **options)  # pyright: ignore[reportArgumentType]
                finally:
                    patched.setattr(Image.Image, "resize", resize)

            resize = Image.Image.resize
            patched.setattr(loaders, "decode", exhausted)
            patched.setattr(loaders, "cpu_threads", lambda: 1)
        _, done = filled(tmp_path, index, hashes)
        assert set(done.unreadable) == {2}
    _, done = filled(tmp_path, index, hashes)
    assert done.unreadable == {}
    assert values(tmp_path, hashes, [2]) == [shades(index)[2]]


def test_a_decoders_verdict_is_tried_again_and_costs_no_row(tmp_path: Path, index: ImageIndex) -> None:
    file(index, 4).write_bytes(file(index, 4).read_bytes()[:45])
    hashes = digests(index)
    rows, done = filled(tmp_path, index, hashes)
    assert set(done.unreadable) == {4}
    again, done = filled(tmp_path, index, hashes)
    assert set(done.unreadable) == {4}
    assert (len(again), done.computed) == (len(rows), 0)
    with pytest.raises(DataError, match="1 of 12 images"):
        filled(tmp_path, index, hashes, max_unreadable=0)


def test_an_image_that_was_called_unreadable_by_mistake_gets_its_row(tmp_path: Path, index: ImageIndex) -> None:
    hashes = digests(index)
    rows = store(tmp_path)
    with rows.writing():
        rows.append([keys.of_image(hashes[6])], np.zeros((1, 2)), [False])
    _, done = filled(tmp_path, index, hashes)
    assert done.unreadable == {}
    assert not store(tmp_path).unreadable(keys.of_image(hashes[6]))
    assert values(tmp_path, hashes, list(range(COUNT))) == shades(index)


ENTRY = KEY_BYTES + 5


@pytest.mark.parametrize("what", ["a bit of a row", "a NaN", "a flag", "a key", "a checksum", "two rows are swapped"])
def test_what_changes_on_the_disk_is_noticed_and_computed_again(tmp_path: Path, index: ImageIndex, what: str) -> None:
    hashes = digests(index)
    filled(tmp_path, index, hashes)
    rows_file, keys_file = tmp_path / "cache" / "rows.bin", tmp_path / "cache" / "keys.bin"
    rows, entries = bytearray(rows_file.read_bytes()), bytearray(keys_file.read_bytes())
    if what == "a bit of a row":
        rows[4 * 7] ^= 1
    elif what == "a NaN":
        rows[4 * 7 : 4 * 7 + 2] = np.float16(np.nan).tobytes()
    elif what == "two rows are swapped":
        rows[4 * 7 : 4 * 9] = rows[4 * 8 : 4 * 9] + rows[4 * 7 : 4 * 8]
    else:
        entries[ENTRY * 7 + {"a key": 0, "a flag": KEY_BYTES, "a checksum": KEY_BYTES + 1}[what]] ^= 1
    rows_file.write_bytes(bytes(rows))
    keys_file.write_bytes(bytes(entries))
    _, done = filled(tmp_path, index, hashes)
    assert done.unreadable == {}
    assert values(tmp_path, hashes, list(range(COUNT))) == shades(index)
    with store(tmp_path).writing():
        assert store(tmp_path).forget_damaged(keys.of_image(each) for each in hashes) == 0


def test_a_row_that_is_called_whole_by_mistake_is_noticed(tmp_path: Path, index: ImageIndex) -> None:
    file(index, 4).write_bytes(file(index, 4).read_bytes()[:45])
    hashes = digests(index)
    filled(tmp_path, index, hashes)
    keys_file = tmp_path / "cache" / "keys.bin"
    entries = bytearray(keys_file.read_bytes())
    place = next(i for i in range(0, len(entries), ENTRY) if entries[i + KEY_BYTES])
    entries[place + KEY_BYTES] = 0
    keys_file.write_bytes(bytes(entries))
    _, done = filled(tmp_path, index, hashes)
    assert set(done.unreadable) == {4}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_features_that_are_no_numbers_are_an_error(tmp_path: Path, value: float) -> None:
    rows = store(tmp_path)
    with rows.writing(), pytest.raises(EngineError, match="NaN or infinite"):
        rows.append([bytes(KEY_BYTES)], np.array([[1.0, value]], dtype=np.float32), [True])
    assert len(store(tmp_path)) == 0


def test_a_digest_that_was_remembered_wrongly_is_forgotten(tmp_path: Path, index: ImageIndex, monkeypatch) -> None:
    monkeypatch.setattr(digest, "SETTLED_NS", -1)
    hashes = digests(index)
    remembered(index, NoProgress())
    (memory,) = (Path(os.environ["STRIATE_HOME"]) / "digests").iterdir()
    _, done = filled(tmp_path, index, ["0" * 64, *hashes[1:]])
    assert set(done.unreadable) == {0}
    assert not memory.exists()
    _, done = filled(tmp_path, index, list(remembered(index, NoProgress())))
    assert done.unreadable == {}
