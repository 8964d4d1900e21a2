"""Images in memory: arrays and tensors of the types and shapes that people have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.core.errors import ImageError
from striate.data.arrays import to_uint8

RGB = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
GREY = RGB[..., 0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_point_values_from_0_to_1_are_scaled(kind: type) -> None:
    assert np.array_equal(to_uint8((RGB / 255).astype(kind)), RGB)
    assert np.array_equal(to_uint8((GREY / 255).astype(kind)), GREY)


def test_uint8_pixels_are_not_copied() -> None:
    assert to_uint8(RGB) is RGB


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        GREY[..., None],
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
        torch.from_numpy(GREY)[..., None],
        torch.from_numpy(GREY / 255)[None],
    ],
)
def test_grey_images_with_and_without_a_channel_are_the_same(image: np.ndarray | torch.Tensor) -> None:
    assert np.array_equal(to_uint8(image), GREY)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_tensors_have_channels_first_or_last(dtype: torch.dtype) -> None:
    last = torch.from_numpy(RGB)
    for tensor in (last, last.permute(2, 0, 1), (last / 255).to(dtype), (last / 255).to(dtype).permute(2, 0, 1)):
        assert np.array_equal(to_uint8(tensor), RGB)
    assert np.array_equal(to_uint8((last / 255).permute(2, 0, 1).requires_grad_()), RGB)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (RGB.astype(np.float32), "from 0 to 1"),
        (RGB / 255 - 0.5, "mean and deviation"),
        (np.full((4, 4), np.nan), "from 0 to 1"),
        (RGB.astype(np.int64), "int64"),
        (RGB > 3, "bool"),
        (np.zeros((4, 4, 5), np.uint8), r"\[4, 4, 5\]"),
        (np.zeros((0, 4), np.uint8), r"\[0, 4\]"),
        (np.zeros(4, np.uint8), "array of uint8"),
        (np.zeros((2, 4, 4, 3), np.uint8), "array of uint8"),
        (torch.zeros(2, 3, 4, 4), "tensor of float32"),
    ],
)
def test_anything_else_is_an_error_that_says_what_is_possible(image: np.ndarray | torch.Tensor, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        to_uint8(image)
    assert caught.value.hint
