"""Registry, atomic writes, keyed random numbers, output sizes and preprocessing."""

from __future__ import annotations

import errno

import pytest

from striate.core import atomic, seed, shapes
from striate.core.errors import InputShapeError, StorageError, UnknownModelError
from striate.core.preprocess import Preprocess
from striate.core.registry import Registry


def test_registry_suggests_similar_names() -> None:
    registry: Registry[int] = Registry("network", UnknownModelError)
    registry.add("resnet50", 50, aliases=("rn50",))
    assert registry.get("rn50") == 50
    with pytest.raises(UnknownModelError, match="resnet50"):
        registry.get("ResNet-5O")


def test_failed_write_keeps_the_old_file(tmp_path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(StorageError, match="no space"), atomic.replacing(target) as stream:
        stream.write(b"new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_write_text_uses_utf8_and_keeps_line_ends(tmp_path) -> None:
    atomic.write_text(tmp_path / "file", "grün\n")
    assert (tmp_path / "file").read_bytes() == "grün\n".encode()


def test_random_numbers_of_a_key_do_not_depend_on_earlier_draws() -> None:
    first = seed.generator(0, "order", 3).permutation(10)
    seed.generator(0, "order", 2).random(100)
    assert (seed.generator(0, "order", 3).permutation(10) == first).all()
    assert seed.derive(1) != seed.derive("1")


def test_output_size_and_same_padding() -> None:
    assert shapes.output_size(227, 11, stride=4) == 55
    assert shapes.same_padding(224, 3, 2) == (0, 1)
    assert shapes.same_padding(225, 3, 2) == (1, 1)
    with pytest.raises(InputShapeError, match="does not fit"):
        shapes.output_size(2, 3)


def test_affine_is_the_imagenet_normalisation() -> None:
    scale, offset = Preprocess(size=(2, 2)).affine()
    assert 255 * scale[0] + offset[0] == pytest.approx((1 - 0.485) / 0.229)


def test_resize_below_the_crop_size() -> None:
    with pytest.raises(ValueError, match="resize must be at least 224"):
        Preprocess(size=(224, 224), resize=200)
