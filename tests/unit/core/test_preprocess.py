"""Preprocessing of images."""

from __future__ import annotations

import pytest

from striate.core.preprocess import Preprocess


def test_affine_is_the_imagenet_normalisation() -> None:
    scale, offset = Preprocess(size=(2, 2)).affine()
    assert 255 * scale[0] + offset[0] == pytest.approx((1 - 0.485) / 0.229)


def test_resize_below_the_crop_size() -> None:
    with pytest.raises(ValueError, match="resize must be at least 224"):
        Preprocess(size=(224, 224), resize=200)


def test_mean_and_std_need_a_value_per_channel() -> None:
    with pytest.raises(ValueError, match="mean and std need 1 values each"):
        Preprocess(size=(28, 28), channels="grey")
    with pytest.raises(ValueError, match="std must be above 0"):
        Preprocess(size=(28, 28), channels="grey", mean=(0.5,), std=(0.0,))
