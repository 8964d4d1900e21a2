from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data import decode as module
from striate.data.decode import decode, thumbnail, to_pixels
from striate.data.opened import probe


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def smooth(width: int, height: int) -> Image.Image:
    """Waves and edges of some detail, unlike on every side."""
    y, x = np.mgrid[0:height, 0:width]
    red = 127 + 120 * np.sin(x / 5) * np.cos(y / 9)
    green = 255 * x / width
    blue = np.where((x > width // 3) & (y > height // 2), 220, 30)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def habit(image: Image.Image, resize: int, crop: tuple[int, int], filter: Image.Resampling) -> np.ndarray:
    """What torchvision's Resize and CenterCrop do on Pillow."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_short, new_long = resize, int(resize * long / short)
    new_w, new_h = (new_short, new_long) if width <= height else (new_long, new_short)
    image = image.resize((new_w, new_h), filter) if (new_w, new_h) != image.size else image
    top, left = round((new_h - crop[0]) / 2.0), round((new_w - crop[1]) / 2.0)
    return np.asarray(image.crop((left, top, left + crop[1], top + crop[0])))


FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("sides", [(500, 375), (333, 500), (401, 401), (37, 90), (256, 256), (641, 257)])
@pytest.mark.parametrize(("resize", "crop"), [(256, (224, 224)), (232, (224, 224)), (96, (96, 64))])
def test_equals_the_reference_preprocessing(sides: tuple[int, int], resize: int, crop: tuple[int, int], filter) -> None:
    image = smooth(*sides)
    mine = decode(encoded(image), Preprocess(size=crop, resize=resize, interpolation=filter))
    theirs = habit(image, resize, crop, FILTERS[filter])
    difference = np.abs(mine.astype(int) - theirs)
    assert difference.mean() < 0.1
    # Both resizes round to 8 bits twice; Pillow takes the box in 32-bit floats, over which the edge of `box` steps.
    assert difference.max() <= (2 if filter != "box" else 10)


def test_real_photos_equal_the_reference_preprocessing(shared_data: Path) -> None:
    with tarfile.open(shared_data / "photos-flowers" / "flowers5.tar") as archive:
        members = [m for m in archive if m.isfile()][::250]
        raws = [stream.read() for m in members if (stream := archive.extractfile(m))]
    preprocess = Preprocess(size=(224, 224), resize=256)
    for raw in raws:
        theirs = habit(Image.open(io.BytesIO(raw)).convert("RGB"), 256, (224, 224), Image.Resampling.BILINEAR)
        assert np.abs(decode(raw, preprocess).astype(int) - theirs).max() <= 1


def test_large_jpegs_are_drafted_within_one_of_255() -> None:
    image = smooth(1600, 1200)
    raw = encoded(image, "JPEG", quality=90)
    theirs = habit(Image.open(io.BytesIO(raw)), 128, (112, 112), Image.Resampling.BILINEAR).astype(int)
    preprocess = Preprocess(size=(112, 112), resize=128)
    assert np.abs(decode(raw, preprocess) - theirs).mean() < 1
    assert np.abs(decode(raw, preprocess, fast=True) - theirs).mean() < 2


def test_drafts_fall_on_the_right_place() -> None:
    # Sides that no power of 2 divides: a draft's last row stands for less than the others.
    image = Image.fromarray(np.kron(np.eye(3, dtype=np.uint8) * 255, np.ones((445, 333), np.uint8)))
    raw = encoded(image, "JPEG", quality=95)
    theirs = np.asarray(image.resize((30, 30), Image.Resampling.BILINEAR)).astype(int)
    stretch = Preprocess(size=(30, 30), fit="stretch", channels="grey", mean=(0,), std=(1,))
    assert np.abs(decode(raw, stretch)[..., 0] - theirs).mean() < 1
    assert np.abs(decode(raw, stretch, fast=True)[..., 0] - theirs).mean() < 1


def test_stretch_keeps_everything() -> None:
    image = smooth(300, 100)
    mine = decode(encoded(image), Preprocess(size=(50, 60), fit="stretch"))
    theirs = np.asarray(image.resize((60, 50), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sides", [(90, 61), (300, 200)])
def test_exif_orientation(orientation: int, format: str, sides: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    raw = encoded(smooth(*sides), format, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(raw)))
    assert upright is not None
    preprocess = Preprocess(size=(40, 31), resize=47)
    theirs = habit(upright.convert("RGB"), 47, (40, 31), Image.Resampling.BILINEAR).astype(int)
    difference = np.abs(decode(raw, preprocess) - theirs)
    assert difference.max() <= 2
    assert difference.mean() < 0.5


def test_an_orientation_out_of_range_is_upright() -> None:
    exif = Image.Exif()
    exif[274] = 77
    raw = encoded(smooth(20, 10), exif=exif)
    assert probe(raw).orientation == 1
    assert decode(raw, Preprocess(size=(10, 20), fit="stretch")).shape == (10, 20, 3)


LOOK = Preprocess(size=(2, 2), fit="stretch", interpolation="nearest")
GREY = Preprocess(size=(2, 2), fit="stretch", interpolation="nearest", channels="grey", mean=(0,), std=(1,))


def pixel(image: Image.Image, format: str = "PNG", preprocess: Preprocess = LOOK, **options) -> tuple[int, ...]:
    return tuple(decode(encoded(image, format, **options), preprocess)[0, 0].tolist())


def test_transparency_is_composited_on_white() -> None:
    assert pixel(Image.new("RGBA", (4, 4), (200, 0, 0, 0))) == (255, 255, 255)
    assert pixel(Image.new("RGBA", (4, 4), (200, 0, 0, 255))) == (200, 0, 0)
    assert pixel(Image.new("RGBA", (4, 4), (0, 0, 0, 128))) == (127, 127, 127)
    assert pixel(Image.new("LA", (4, 4), (0, 0))) == (255, 255, 255)
    assert pixel(Image.new("RGB", (4, 4), (9, 8, 7)), transparency=(9, 8, 7)) == (255, 255, 255)


def test_palettes() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(image) == (10, 20, 30)
    assert pixel(image, transparency=1) == (255, 255, 255)
    assert pixel(image, "GIF") == (10, 20, 30)


def test_cmyk() -> None:
    raw = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    red, green, blue = decode(raw, LOOK)[0, 0].tolist()
    assert red > 240
    assert green < 15
    assert blue < 15
    assert probe(raw).mode == "CMYK"


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits(format: str) -> None:
    levels = np.full((4, 4), 257 * 100, dtype=np.uint16)
    raw = encoded(Image.fromarray(levels), format)
    assert probe(raw).mode.startswith("I")
    assert decode(raw, LOOK)[0, 0].tolist() == [100, 100, 100]
    assert decode(raw, GREY)[0, 0].tolist() == [100]


def test_floating_point_is_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        pixel(Image.new("F", (4, 4), 0.5), "TIFF")


def test_one_bit_and_grey() -> None:
    assert pixel(Image.new("1", (4, 4), 1)) == (255, 255, 255)
    assert pixel(Image.new("L", (4, 4), 77)) == (77, 77, 77)
    assert pixel(Image.new("L", (4, 4), 77), preprocess=GREY) == (77,)


def test_channel_orders() -> None:
    image = Image.new("RGB", (4, 4), (10, 20, 30))
    bgr = Preprocess(size=(2, 2), fit="stretch", channels="bgr")
    assert pixel(image, preprocess=bgr) == (30, 20, 10)
    assert pixel(image, preprocess=GREY) == (round(0.299 * 10 + 0.587 * 20 + 0.114 * 30),)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animations_give_their_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), shade) for shade in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    options = {"lossless": True} if format == "WEBP" else {}
    raw = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert probe(raw).animated
    assert decode(raw, LOOK)[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (32, 32, 3)])
@pytest.mark.parametrize("preprocess", [LOOK, GREY, Preprocess(size=(32, 32), channels="bgr")])
def test_arrays(shape: tuple[int, ...], preprocess: Preprocess) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(array)
    np.testing.assert_array_equal(decode(array, preprocess), decode(encoded(image), preprocess))
    assert (probe(array).height, probe(array).width) == shape[:2]


def test_the_result_may_be_written_to() -> None:
    array = np.zeros((4, 4, 3), np.uint8)
    result = decode(array, Preprocess(size=(4, 4)))
    assert result.flags.c_contiguous
    result[:] = 1
    assert not array.any()


def test_thumbnails_are_small_upright_jpegs() -> None:
    exif = Image.Exif()
    exif[274] = 6
    small = Image.open(io.BytesIO(thumbnail(encoded(smooth(400, 200), "JPEG", exif=exif), side=100)))
    assert (small.format, small.size) == ("JPEG", (50, 100))
    assert Image.open(io.BytesIO(thumbnail(np.zeros((1, 5000), np.uint8), side=80))).size == (80, 10)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_shown_sizes_are_those_of_the_upright_image(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    raw = encoded(smooth(90, 60), format, exif=exif)
    assert (probe(raw).width, probe(raw).height) == (90, 60)
    assert probe(raw).orientation == orientation
    assert probe(raw).shown == ((60, 90) if orientation >= 5 else (90, 60))
    assert Image.open(io.BytesIO(thumbnail(raw, side=30))).size == ((20, 30) if orientation >= 5 else (30, 20))


def test_a_pil_image_stays_as_it_was() -> None:
    exif = Image.Exif()
    exif[274] = 6
    for format in ("JPEG", "TIFF", "PNG"):
        raw = encoded(smooth(90, 60), format, exif=exif)
        image = Image.open(io.BytesIO(raw))
        stretch = Preprocess(size=(90, 60), fit="stretch")
        np.testing.assert_array_equal(decode(image, stretch), decode(raw, stretch))
        np.testing.assert_array_equal(to_pixels(Image.open(io.BytesIO(raw))), decode(raw, stretch))


def test_several_pages_are_no_animation() -> None:
    pages = [Image.new("L", (8, 8), shade) for shade in (50, 100, 150)]
    raw = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert probe(raw).pages
    assert not probe(raw).animated
    assert not probe(encoded(pages[0], "TIFF")).pages
    assert decode(raw, GREY)[0, 0].tolist() == [50]


def test_large_transparent_images_are_composited_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 4), dtype=np.uint8)
    raw, stretch = encoded(Image.fromarray(pixels)), Preprocess(size=(50, 40), fit="stretch")
    whole = decode(raw, stretch)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 40 * 7)
    np.testing.assert_array_equal(decode(raw, stretch), whole)


def test_rows_are_averaged_before_an_image_far_higher_than_wide_is_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(40)[:, None])
    stretch = Preprocess(size=(16, 16), fit="stretch", channels="grey", mean=(0,), std=(1,))
    whole = decode(encoded(image), stretch).astype(int)
    monkeypatch.setattr(module, "_PASS_BYTES", 4 * 16 * 1024)
    assert np.abs(decode(encoded(image), stretch) - whole).max() <= 1
