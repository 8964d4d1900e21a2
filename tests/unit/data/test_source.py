"""Training images: how large they are decoded, and what a feed makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.preprocess import Preprocess
from striate.data.augment import augment
from striate.data.decode import decode
from striate.data.headers import headers
from striate.data.index import ImageIndex, scan
from striate.data.source import PixelSource, to_cut_from
from striate.records.recipes import Augment, recipe


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
        ((0.08, 1.0), [(300, 38)] * 3 + [(20, 20)], 38),  # not beyond what most images have
        ((0.08, 1.0), [(20, 20)] * 2, 32),  # never below the input
        (None, [(120, 90)] * 2, 32),
    ],
)
def test_images_to_cut_from_are_larger_where_they_have_the_pixels(
    tmp_path: Path, crop: tuple[float, float] | None, sides: list[tuple[int, int]], side: int
) -> None:
    index = photos(tmp_path, sides)
    found = to_cut_from(Preprocess(size=(32, 32)), Augment(crop_scale=crop), headers(index), np.arange(len(index)))
    assert found == Preprocess(size=(side, side), fit="crop" if crop is None else "stretch")


def test_parts_are_cut_from_the_whole_image_in_its_own_proportions(tmp_path: Path) -> None:
    place = tmp_path / "a" / "turned.png"
    place.parent.mkdir()
    tall, wide = np.meshgrid(np.arange(256), np.arange(64), indexing="ij")  # stored upright, shown lying
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.stack([tall, 255 - tall, 3 * wide], 2).astype(np.uint8)).save(place, exif=exif)
    index = scan(tmp_path)
    varies, seen = Augment(crop_scale=(0.25, 0.25), crop_ratio=1.0), headers(index)
    assert seen.proportions(np.array([0])).tolist() == [4.0]
    cut_from = to_cut_from(Preprocess(size=(32, 32)), varies, seen, np.array([0]))
    pixels = decode(index.read(0), cut_from)[None].repeat(64, 0)
    same = np.zeros(64, np.int64)
    source = PixelSource(pixels, same, varies, seed=0, size=(32, 32), proportions=seen.proportions(same))
    parts = source.batch(np.arange(64), 0)[0].numpy().astype(int)
    across, down = np.ptp(parts[..., 0], (1, 2)), np.ptp(parts[..., 2], (1, 2)) / 3
    # a quarter of 256 x 64 px would be 64 x 64: the whole height, and a quarter of the width
    assert 56 < across.min() <= across.max() < 68
    assert down.min() > 58
    assert parts[..., 0].min() < 16
    assert parts[..., 0].max() > 240


def test_an_input_that_lies_is_filled_without_distortion_too() -> None:
    wide = np.broadcast_to(np.arange(256, dtype=np.uint8), (256, 256))
    pixels = np.stack([wide, wide.T, wide], 2)[None].repeat(8, 0)  # of 100 x 100 px, stretched to twice as wide
    varied = augment(
        torch.from_numpy(pixels[:, ::2].copy()),
        Augment(crop_scale=(0.25, 0.25), crop_ratio=1.0),
        seed=0,
        epoch=0,
        samples=np.arange(8),
        size=(32, 64),
        proportions=torch.ones(8),
    )
    across, down = (np.ptp(varied[..., channel].numpy().astype(int), (1, 2)) for channel in (0, 1))
    assert across / down == pytest.approx(np.full(8, 2.0), rel=0.05)  # a part of 71 x 35 px


def test_a_source_crops_to_the_input_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 44, 44, 3), dtype=np.uint8)
    source = PixelSource(pixels, np.arange(6) % 3, recipe("modern").augment, seed=0, classes=3, size=(32, 32))
    inputs, shares = source.batch(np.arange(6), 0)
    assert inputs.shape == (6, 32, 32, 3)
    assert shares.sum(1).tolist() == pytest.approx([1] * 6)
    assert (source.batch(np.arange(6), 0)[0] == inputs).all()
    assert (source.batch(np.arange(6), 1)[0] != inputs).any()
