"""The time of one prediction."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.preprocess import Preprocess
from striate.inference.latency import prediction_seconds
from striate.inference.predict import ImageList

PREPROCESS = Preprocess(size=(8, 8), resize=None)
IMAGES = ImageList([np.zeros((8, 8, 3), dtype=np.uint8)] * 5 + [b"no image"])
CPU = torch.device("cpu")


class Sleeping(nn.Module):
    """Takes its time: the first run is the slowest, as with a network."""

    runs = 0

    def forward(self, pixels: Tensor) -> Tensor:
        time.sleep(0.03 if self.runs else 0.2)
        self.runs += 1
        return pixels.float().flatten(1)


def test_the_median_leaves_out_the_first_run_and_unreadable_images() -> None:
    found = prediction_seconds(Sleeping(), PREPROCESS, IMAGES, range(6), CPU)
    assert found is not None
    assert 0.03 <= found < 0.15


def test_without_two_readable_images_there_is_no_time() -> None:
    assert prediction_seconds(Sleeping(), PREPROCESS, IMAGES, [5, 0], CPU) is None
