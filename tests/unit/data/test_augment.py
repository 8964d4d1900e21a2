"""Each augmentation does what it says, keyed by sample."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.data import policy
from striate.data.augment import augment
from striate.data.mix import mix
from striate.data.source import PixelSource
from striate.records.recipes import Augment, recipe

# what these recipes gave when figures of benchmarks were made with them
AS_PUBLISHED = {
    ("finetune", 3): "02b424a4a22997bd",
    ("finetune_grey", 1): "95f31a8d60f5e039",
    ("scratch", 3): "77ed8e45d1980850",
    ("cifar_short", 3): "7d00a795c7200e40",
    ("lenet_short", 1): "45967ba317ad101f",
}


def noise(count: int = 6, side: tuple[int, int] = (32, 48), channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *side, channels), generator=generator, dtype=torch.uint8)


def varied(pixels: Tensor, spec: Augment, *, epoch: int = 2, first: int = 0) -> Tensor:
    return augment(pixels, spec, seed=3, epoch=epoch, samples=np.arange(first, first + len(pixels)))


@pytest.mark.parametrize(("name", "channels"), AS_PUBLISHED)
def test_published_recipes_give_the_images_they_gave(name: str, channels: int) -> None:
    out = augment(noise(channels=channels), recipe(name).augment, seed=3, epoch=2, samples=np.arange(6) * 7)
    digest = hashlib.sha256(out.contiguous().numpy().tobytes()).hexdigest()[:16]
    assert digest == AS_PUBLISHED[name, channels]


EVERYTHING = Augment(
    flip=True,
    crop_scale=(0.3, 1),
    rotate=10,
    hue=20,
    pca_lighting=0.1,
    rand_augment=(2, 9),
    random_erasing=0.5,
    contrast=0.2,
)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_batch_mates_do_not_matter(channels: int) -> None:
    pixels = noise(8, channels=channels)
    together = varied(pixels, EVERYTHING)
    for place in range(8):
        alone = varied(pixels[place : place + 1], EVERYTHING, first=place)
        assert int((alone[0].int() - together[place].int()).abs().max()) <= 1
    assert not torch.equal(together, varied(pixels, EVERYTHING, epoch=3))


def test_a_crop_is_a_part_drawn_to_the_whole_size() -> None:
    """On a ramp every column's value says where it comes from."""
    ramp = (torch.arange(64).float() * 4).to(torch.uint8)
    pixels = ramp.view(1, 1, 64, 1).expand(400, 64, 64, 3)
    row = varied(pixels, Augment(crop_scale=(0.25, 0.25), crop_ratio=1.0))[:, 32, :, 0].float()
    span = (row[:, -2] - row[:, 1]) / 61 * 64 / 4  # columns of the image that are seen
    assert float((span - 32).abs().max()) < 1.5
    assert float(row.min()) >= 0
    centres = row.mean(1) / 4
    assert float(centres.min()) < 18  # up to the left edge
    assert float(centres.max()) > 45
    wide = varied(pixels, Augment(crop_scale=(0.25, 1.0), crop_ratio=4 / 3))
    assert len({image.numpy().tobytes() for image in wide}) > 200  # of rows all alike


def test_a_crop_that_does_not_fit_is_drawn_again() -> None:
    """Two thirds of parts of nine tenths, up to 4 : 3, reach beyond the image; cut to it they would be smaller."""
    ramp = (torch.arange(200).float()).to(torch.uint8)
    across, down = ramp.view(1, 1, 200).expand(300, 200, 200), ramp.view(1, 200, 1).expand(300, 200, 200)
    parts = varied(torch.stack([across, down, across], 3), Augment(crop_scale=(0.9, 0.9), crop_ratio=4 / 3)).float()
    wide, tall = parts[:, 100, -1, 0] - parts[:, 100, 0, 0] + 1, parts[:, -1, 100, 1] - parts[:, 0, 100, 1] + 1
    area = wide * tall / 200**2
    assert float(((area - 0.9).abs() < 0.02).float().mean()) > 0.95
    assert float((wide / tall).max()) > 1.1
    assert float((tall / wide).max()) > 1.1


def test_a_crop_of_the_result_s_own_size_is_exact() -> None:
    """AlexNet's habit: 224 px of 256, here 28 of 32."""
    pixels = noise(40, (32, 32))
    spec = Augment(crop_scale=(0.765625, 0.765625), crop_ratio=1.0)
    out = augment(pixels, spec, seed=0, epoch=0, samples=np.arange(40), size=(28, 28))
    corners = {corner for each in range(40) for corner in places(out[each], pixels[each])}
    assert len(corners) > 15
    assert {row for row, _ in corners} == {column for _, column in corners} == set(range(5))


def test_a_crop_that_shrinks_is_antialiased() -> None:
    stripes = torch.tensor([0, 255], dtype=torch.uint8).repeat(64).view(1, 1, 128, 1).expand(20, 128, 128, 3)
    out = augment(stripes, Augment(crop_scale=(0.5, 1.0)), seed=0, epoch=0, samples=np.arange(20), size=(24, 24))
    assert float((out[:, :, 2:-2].float() - 127.5).abs().max()) < 40


def test_large_images_are_cut_by_threads_as_by_one() -> None:
    pixels, spec = noise(7, (150, 140)), Augment(crop_scale=(0.2, 1.0), flip=True, random_erasing=0.5)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(augment(pixels, spec, seed=0, epoch=0, samples=np.arange(7), size=(96, 80)))
    finally:
        torch.set_num_threads(before)
    assert found[0].shape == (7, 96, 80, 3)
    assert torch.equal(*found)


@pytest.mark.parametrize(("border", "mode"), [("zeros", "constant"), ("border", "edge"), ("reflection", "symmetric")])
def test_a_window_in_a_frame_is_a_shift_by_whole_pixels(border: Any, mode: Any) -> None:
    pixels = noise(60, (16, 24))
    out = varied(pixels, Augment(pad=0.125, padding_mode=border))
    framed = torch.from_numpy(np.pad(pixels.numpy(), ((0, 0), (2, 2), (3, 3), (0, 0)), mode))
    found = [places(out[each], framed[each]) for each in range(60)]
    assert all(found)
    assert {row for each in found for row, _ in each} == set(range(5))
    assert {column for each in found for _, column in each} == set(range(7))


@pytest.mark.parametrize("spec", [Augment(pad=0.25, padding_mode="mean"), Augment(translate=0.25, padding_mode="mean")])
@pytest.mark.parametrize(("channels", "mean"), [(3, (124, 116, 104)), (1, (117,))])
def test_a_mean_frame_is_nothing_once_normalised(spec: Augment, channels: int, mean: tuple[int, ...]) -> None:
    pixels = torch.zeros(40, 16, 16, channels, dtype=torch.uint8)
    out = varied(pixels, spec)
    assert any(torch.equal(image[0, 0], torch.tensor(mean, dtype=torch.uint8)) for image in out)
    assert not out[:, 8, 8].any()  # the middle is never outside


def places(part: Tensor, whole: Tensor) -> list[tuple[int, int]]:
    """Where in `whole` a window equals `part`."""
    height, width = part.shape[:2]
    rows, columns = range(whole.shape[0] - height + 1), range(whole.shape[1] - width + 1)
    return [(y, x) for y in rows for x in columns if torch.equal(whole[y : y + height, x : x + width], part)]


def test_alternate_mirrors_show_each_image_both_ways() -> None:
    pixels, spec = noise(200), Augment(flip="alternate")
    epochs = [varied(pixels, spec, epoch=epoch) for epoch in range(4)]
    as_it_is = torch.stack([(each == pixels).flatten(1).all(1) for each in epochs])
    mirrored = torch.stack([(each == pixels.flip(2)).flatten(1).all(1) for each in epochs])
    assert (as_it_is ^ mirrored).all()
    assert (as_it_is[0] ^ as_it_is[1]).all()
    assert torch.equal(as_it_is[:2], as_it_is[2:])
    assert 0.4 < float(as_it_is[0].float().mean()) < 0.6
    with pytest.raises(ValueError, match="true, false or alternate"):
        Augment(flip="sometimes")  # pyright: ignore[reportArgumentType]


def test_a_hue_rotation_keeps_grey_and_channel_means() -> None:
    grey = torch.full((4, 8, 8, 3), 90, dtype=torch.uint8)
    assert torch.equal(varied(grey, Augment(hue=180)), grey)
    colour = torch.tensor([120, 80, 100], dtype=torch.uint8).expand(50, 8, 8, 3)
    out = varied(colour, Augment(hue=180)).float()
    assert float((out.mean(-1) - 100).abs().max()) <= 0.7
    assert float(out[..., 0].std()) > 5


def test_lighting_has_the_deviations_of_the_paper() -> None:
    pixels = torch.full((20000, 1, 1, 3), 128, dtype=torch.uint8)
    moved = varied(pixels, Augment(pca_lighting=0.1)).view(-1, 3).float() - 128
    components = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    eigenvalues = (moved @ components).var(0) / (255 * 0.1) ** 2
    assert eigenvalues.tolist() == pytest.approx([0.2175, 0.0188, 0.0045], rel=0.05, abs=2e-4)


def test_erasing_paints_one_rectangle() -> None:
    pixels = torch.full((400, 40, 40, 3), 255, dtype=torch.uint8)
    painted = (varied(pixels, Augment(random_erasing=0.5)) != 255).any(-1)
    touched = painted.flatten(1).any(1)
    assert 0.4 < float(touched.float().mean()) < 0.6
    for mask in painted[touched]:
        rows, columns = mask.any(1), mask.any(0)
        assert int(mask.sum()) == int(rows.sum()) * int(columns.sum())
        assert 0.01 < float(mask.float().mean()) < 0.45


def test_the_operations_of_the_policy() -> None:
    x = noise(2)
    none, half, full = torch.zeros(2), torch.full((2,), 0.5), torch.ones(2)
    for operation in policy.OPERATIONS:
        assert operation(x, half).dtype == torch.uint8
        if operation not in (policy.autocontrast, policy.equalize):
            assert torch.equal(operation(x, none), x), operation.__name__
    assert torch.equal(policy.solarize(x, full), 255 - x)
    assert torch.equal(policy.solarize(x, -half), torch.where(x >= 128, 255 - x, x))
    assert torch.equal(policy.posterize(x, full), x // 16 * 16)
    dull = x // 4 + 60
    stretched = policy.autocontrast(dull, half)
    assert stretched.amin((1, 2)).tolist() == [[0] * 3] * 2
    assert stretched.amax((1, 2)).tolist() == [[255] * 3] * 2
    assert torch.equal(policy.autocontrast(torch.full_like(x, 7), half), torch.full_like(x, 7))
    skewed = ((x / 255) ** 3 * 255).to(torch.uint8)
    assert abs(float(policy.equalize(skewed, half).float().mean()) - 127.5) < 12
    assert float(policy.brightness(x, -full).float().mean()) == pytest.approx(0.1 * float(x.float().mean()), rel=1e-2)
    assert float(policy.colour(x, -full).float().std(3).mean()) < 0.11 * float(x.float().std(3).mean())
    assert float(policy.contrast(x, -full).float().std()) < 0.11 * float(x.float().std())
    down = policy.translate_y(x, full / 0.45 / 8)  # by 4 of 32 rows
    assert torch.equal(down[:, :28], x[:, 4:])
    assert set(down[:, 28:].unique().tolist()) == {128}
    across = policy.translate_x(x, -full / 0.45 / 8)
    assert torch.equal(across[:, :, 6:], x[:, :, :42])
    sheared = policy.shear_y(x, full)
    assert torch.equal(sheared[:, :, 24], x[:, :, 24])  # about the middle column
    assert torch.equal(sheared[:, 12:20, 34], x[:, 15:23, 34])  # 10 px from it by 3 px
    turned = policy.rotate(policy.rotate(smooth := x // 64 + 100, half), -half)
    assert float((turned - 0.0 - smooth)[:, 12:20, 16:32].abs().max()) <= 3


def test_sharpening_agrees_with_pillow() -> None:
    from PIL import Image, ImageEnhance

    pixels = noise(1, (40, 40))
    theirs = np.array(ImageEnhance.Sharpness(Image.fromarray(pixels[0].numpy())).enhance(1.45)).astype(int)
    ours = policy.sharpness(pixels, torch.full((1,), 0.5))[0].numpy().astype(int)
    assert np.abs(ours - theirs).max() <= 1


def test_equalising_agrees_with_pillow() -> None:
    from PIL import Image, ImageOps

    pixels = (noise(1, (64, 64))[0].float() ** 2 / 255).to(torch.uint8)
    theirs = torch.from_numpy(np.array(ImageOps.equalize(Image.fromarray(pixels.numpy()))))
    assert torch.equal(policy.equalize(pixels[None], torch.zeros(1))[0], theirs)


@pytest.mark.parametrize("spec", [Augment(mixup=0.4), Augment(cutmix=1.0), Augment(mixup=0.2, cutmix=1.0)])
def test_labels_are_mixed_as_the_images_are(spec: Augment) -> None:
    for epoch in range(12):
        pixels = torch.stack([torch.full((20, 30, 1), value, dtype=torch.uint8) for value in (0, 200)])
        mixed, shares = mix(
            pixels, torch.tensor([2, 0]), spec, classes=3, seed=0, epoch=epoch, samples=np.array([5, 6])
        )
        assert shares.sum(1).tolist() == pytest.approx([1, 1])
        assert mixed.float().mean((1, 2, 3)).tolist() == pytest.approx((200 * shares[:, 0]).tolist(), abs=0.6)
        again = mix(pixels, torch.tensor([2, 0]), spec, classes=3, seed=0, epoch=epoch, samples=np.array([5, 6]))
        assert torch.equal(again[0], mixed)


def test_blends_are_exact_to_rounding() -> None:
    pixels = noise(6)
    for epoch in range(8):
        how = {"classes": 6, "seed": 0, "epoch": epoch, "samples": np.arange(6)}
        mixed, shares = mix(pixels, torch.arange(6), Augment(mixup=1.0), **how)
        share = float(shares[0, 0])
        wanted = share * pixels.float() + (1 - share) * pixels.flip(0).float()
        assert float((mixed.float() - wanted).abs().max()) <= 0.5


def test_a_source_with_mixup_gives_class_fractions() -> None:
    pixels, labels = noise(8).numpy(), np.arange(8) % 3
    source = PixelSource(pixels, labels, Augment(mixup=0.2), seed=0, classes=3)
    assert source.batch(np.arange(8), 0)[1].shape == (8, 3)
    with pytest.raises(ValueError, match="number of classes"):
        PixelSource(pixels, labels, Augment(mixup=0.2), seed=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"crop_scale": (0.5, 0.2)},
        {"crop_scale": (0, 1)},
        {"rand_augment": (0, 9)},
        {"random_erasing": 2},
        {"mixup": -1},
        {"crop_ratio": 0.5},
    ],
)
def test_nonsense_is_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match="got"):
        Augment(**fields)
