from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.data.image_index import ImageIndex
from striate.data.loaders import batches

LOOK = Preprocess(size=(8, 8))


class Counting:
    """Images of one shade each, counted as they are read; some are broken."""

    def __init__(self, n: int, broken: tuple[int, ...] = (), pause: float = 0.0) -> None:
        self.n, self.broken, self.pause = n, broken, pause
        self.read_so_far = 0
        self._lock = threading.Lock()

    def read(self, i: int) -> bytes:
        with self._lock:
            self.read_so_far += 1
        time.sleep(self.pause * (i % 3))
        if i in self.broken:
            return b"" if i % 2 else b"not an image"
        stream = io.BytesIO()
        Image.new("RGB", (9, 9), (i, 0, 0)).save(stream, "PNG")
        return stream.getvalue()

    def stamp(self, i: int) -> str:
        return f"{i}:0"

    def index(self) -> ImageIndex:
        return ImageIndex(
            source="counted",
            kind="folder",
            names=[str(i) for i in range(self.n)],
            annotations={"label": ["a"] * self.n},
            store=self,
        )


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("striate-decode")]


@pytest.mark.parametrize("threads", [1, 3])
def test_order_and_composition(threads: int) -> None:
    positions = np.random.default_rng(0).permutation(50)
    found = list(batches(Counting(50, pause=0.001).index(), positions, LOOK, batch=8, threads=threads))
    assert [len(each.positions) for each in found] == [8] * 6 + [2]
    np.testing.assert_array_equal(np.concatenate([each.positions for each in found]), positions)
    np.testing.assert_array_equal(np.concatenate([each.pixels[:, 0, 0, 0] for each in found]), positions)
    assert found[0].pixels.shape == (8, 8, 8, 3)
    assert found[0].pixels.dtype == np.uint8
    assert not decoders()


def test_the_unreadable_are_named_and_not_replaced() -> None:
    store = Counting(20, broken=(3, 10))
    found = list(batches(store.index(), range(20), LOOK, batch=8, threads=2))
    assert [each.failed for each in found] == [
        {3: "the file is empty"},
        {10: "the file holds text, not an image"},
        {},
    ]
    assert not found[0].pixels[3].any()
    np.testing.assert_array_equal(found[1].positions, np.arange(8, 16))


def test_memory_is_bounded() -> None:
    store = Counting(100)
    taken = batches(store.index(), range(100), LOOK, batch=5, threads=2, ahead=3)
    next(taken)
    time.sleep(0.2)
    assert store.read_so_far <= 5 * 3
    next(taken)
    time.sleep(0.2)
    assert 15 < store.read_so_far <= 5 * 4
    taken.close()


def test_closing_stops_the_threads() -> None:
    store = Counting(1000, pause=0.01)
    taken = batches(store.index(), range(1000), LOOK, batch=100, threads=2)
    next(taken)
    assert decoders()
    before = store.read_so_far
    taken.close()
    assert not decoders()
    assert store.read_so_far <= before + 4  # each thread ends the image it is at, and begins no part


def test_an_interrupt_stops_the_threads() -> None:
    with pytest.raises(KeyboardInterrupt):
        for _ in batches(Counting(100).index(), range(100), LOOK, batch=5, threads=2):
            raise KeyboardInterrupt
    assert not decoders()


def test_an_internal_error_is_not_reported_as_a_bad_image() -> None:
    class Faulty(Counting):
        def read(self, i: int) -> bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(batches(Faulty(10).index(), range(10), LOOK, batch=5))
    assert not decoders()


def test_nothing_to_decode() -> None:
    assert list(batches(Counting(3).index(), [], LOOK, batch=4)) == []


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": 2, "ahead": 0}, {"batch": 2, "threads": 0}])
def test_wrong_numbers(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(batches(Counting(3).index(), range(3), LOOK, **wrong))


def test_files_of_a_folder(tmp_path: Path) -> None:
    from striate.data.index import scan

    for name in ("a/1.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.effect_noise((20, 30), 50).save(tmp_path / name)
    index = scan(tmp_path)
    (tmp_path / "b/2.png").unlink()
    (batch,) = batches(index, range(3), LOOK, batch=3)
    assert list(batch.failed) == [2]
    np.testing.assert_array_equal(batch.pixels[1], decode(index.read(1), LOOK))
    with pytest.raises(ImageError):
        index.read(2)
