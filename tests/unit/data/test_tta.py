"""Views: which pixels, which weights; and what probabilities come to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from striate.core.errors import PlanError
from striate.core.preprocess import Preprocess
from striate.data.decode import decode
from striate.data.tta import canvas, see
from striate.records.plans import EvalPlan, PredictPlan
from striate.records.tta import NO_TTA, VIEWS, TTAPolicy, View, tta_policy
from striate.tasks.probabilities import log_mean, log_mean_of_views, log_softmax

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_policies_have_a_source_and_begin_with_the_unchanged_image(views: TTAPolicy) -> None:
    assert views.source
    small = Preprocess(size=(32, 32), resize=40)
    whole = canvas(small, views)
    pixels = PIXELS[:, : whole.size[0], : whole.size[1]]
    seen = [see(pixels, view, small.size) for view in views.views]
    assert all(each.shape == (3, 32, 32, 3) and each.flags.c_contiguous for each in seen)
    assert len({each.tobytes() for each in seen}) == len(seen)  # no view twice
    margin = (whole.size[0] - 32) // 2
    assert (seen[0] == pixels[:, margin : margin + 32, margin : margin + 32]).all()


def test_mirror_and_shift_are_those_of_the_speed_records() -> None:
    """Half the weight to the image and its mirror image, half to reflect-padded shifts of a pixel and theirs."""
    pixels = PIXELS[:, :32, :32]
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float()
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    expected = [(x, 0.25), (x.flip(3), 0.25)]
    for place in (2, 0):
        moved = padded[:, :, place : place + 32, place : place + 32]
        expected += [(moved, 0.125), (moved.flip(3), 0.125)]
    views = tta_policy("mirror-shift")
    assert views.weights == tuple(weight for _, weight in expected)
    for view, (wanted, _) in zip(views.views, expected, strict=True):
        assert (see(pixels, view, (32, 32)).transpose(0, 3, 1, 2) == wanted.numpy()).all()


def test_shifts_are_whole_pixels_in_proportion() -> None:
    pixels = PIXELS[:, :, :40]
    right = see(pixels, View(shift=(0.0, 0.1)), (40, 40))
    assert (right[:, :, 4:] == pixels[:, :, :-4]).all()
    up = see(pixels, View(shift=(-0.001, 0.0)), (40, 40))  # a pixel at least
    assert (up[:, :-1] == pixels[:, 1:]).all()


def test_ten_crops_are_corners_and_middle_with_their_mirror_images() -> None:
    """256 px and crops of 224, as in Krizhevsky et al. 2012."""
    own = Preprocess(size=(224, 224), resize=256)
    whole = canvas(own, VIEWS["ten-crop"])
    assert whole.size == (256, 256)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 1), dtype=np.uint8)
    seen = [see(pixels, view, (224, 224)) for view in VIEWS["ten-crop"].views]
    assert len(seen) == 10
    for number, (top, left) in enumerate([(16, 16), (0, 0), (0, 32), (32, 0), (32, 32)]):
        crop = pixels[:, top : top + 224, left : left + 224]
        assert (seen[number] == crop).all()
        assert (seen[number + 5] == crop[:, :, ::-1]).all()


@pytest.mark.parametrize("resize", [40, 43, 45, 50])
@pytest.mark.parametrize("size", [(61, 90), (90, 61), (70, 117), (33, 50)])
def test_the_centre_copy_equals_the_image_without_augmentation(resize: int, size: tuple[int, int]) -> None:
    image = np.asarray(Image.fromarray(PIXELS[0]).resize(size[::-1], Image.Resampling.BICUBIC))
    own = Preprocess(size=(32, 32), resize=resize)
    whole = canvas(own, VIEWS["five-crop"])
    middle = see(decode(image, whole)[None], VIEWS["five-crop"].views[0], own.size)[0]
    apart = np.abs(middle.astype(int) - decode(image, own).astype(int))
    assert apart.max() <= 1  # two passes that round; on noise a step aside would be far more


@pytest.mark.parametrize("own", [Preprocess(size=(32, 32)), Preprocess(size=(32, 32), resize=40, fit="stretch")])
def test_a_network_that_takes_the_whole_image_has_no_crops(own: Preprocess) -> None:
    assert canvas(own, VIEWS["mirror"]) == canvas(own, NO_TTA) == own
    with pytest.raises(PlanError, match="already uses the whole image"):
        canvas(own, VIEWS["ten-crop"])


def test_unknown_test_time_augmentation_is_refused_with_the_plan() -> None:
    assert EvalPlan(model="m", data="d", tta="mirror").tta == "mirror"
    with pytest.raises(PlanError, match="did you mean mirror"):
        EvalPlan(model="m", data="d", tta="miror")
    with pytest.raises(PlanError, match="no test-time augmentation"):
        PredictPlan(model="m", images=("p",), tta="upside-down")
    with pytest.raises(ValueError, match="add up to 1"):
        TTAPolicy(name="x", views=(View(), View(mirror=True)))
    with pytest.raises(ValueError, match="must be the unchanged image"):
        TTAPolicy(name="x", views=(View(mirror=True),))


def test_means_are_of_probabilities_at_their_temperature() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (3, 5, 4))
    p = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=-1, keepdims=True)
    weights = (0.5, 0.2, 0.3)
    expected = sum(share * each for share, each in zip(weights, p, strict=True))
    assert np.exp(log_mean_of_views(logits, weights, 2.0)) == pytest.approx(expected)


def test_a_mean_of_probabilities_below_the_smallest_float_is_exact() -> None:
    logits = np.array([[[0.0, -3000.0]], [[0.0, -2000.0]]])
    found = log_mean(np.stack([log_softmax(each) for each in logits]), [0.5, 0.5])
    assert found[0] == pytest.approx([0.0, -2000.0 + np.log(0.5)])
