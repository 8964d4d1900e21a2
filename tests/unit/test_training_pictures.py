"""Training pictures: how large they are decoded, and what a feed makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.preprocess import Preprocess
from striate.data.index import ImageIndex, scan
from striate.records.recipes import Augment, recipe
from striate.tasks.classify.feed import PixelFeed, to_cut_from


def photos(folder: Path, sides: list[tuple[int, int]]) -> ImageIndex:
    for number, (width, height) in enumerate(sides):
        place = folder / ("a" if number % 2 else "b") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (number, 0, 0)).save(place)
    return scan(folder)


@pytest.mark.parametrize(
    ("crop", "sides", "side"),
    [
        ((0.08, 1.0), [(120, 90)] * 4, 44),  # 32 / sqrt(0.54)
        ((0.765625, 0.765625), [(120, 90)] * 4, 37),  # 32 of 36.6: AlexNet's 224 of 256
        ((0.02, 0.1), [(120, 90)] * 4, 64),  # twice and no more
        ((0.08, 1.0), [(300, 38)] * 3 + [(20, 20)], 38),  # not beyond what most pictures have
        ((0.08, 1.0), [(20, 20)] * 2, 32),  # never below the input
        (None, [(120, 90)] * 2, 32),
    ],
)
def test_pictures_to_cut_from_are_larger_where_they_have_the_pixels(
    tmp_path: Path, crop: tuple[float, float] | None, sides: list[tuple[int, int]], side: int
) -> None:
    index = photos(tmp_path, sides)
    found = to_cut_from(Preprocess(size=(32, 32)), Augment(crop=crop), index, np.arange(len(index)))
    assert found == Preprocess(size=(side, side))


def test_a_feed_cuts_to_the_input() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 44, 44, 3), dtype=np.uint8)
    feed = PixelFeed(pixels, np.arange(6) % 3, recipe("modern").augment, seed=0, classes=3, size=(32, 32))
    inputs, shares = feed.batch(np.arange(6), 0)
    assert inputs.shape == (6, 32, 32, 3)
    assert shares.sum(1).tolist() == pytest.approx([1] * 6)
    assert (feed.batch(np.arange(6), 0)[0] == inputs).all()
    assert (feed.batch(np.arange(6), 1)[0] != inputs).any()
