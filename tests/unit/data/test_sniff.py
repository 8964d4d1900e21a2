"""What a file is that is not an image in a format that is read."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.core.errors import ImageError
from striate.core.preprocess import Preprocess
from striate.data import decode, opened
from striate.data.sniff import file_format, is_preview


def boxes(*brands: bytes) -> bytes:
    content = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (len(content) + 4).to_bytes(4, "big") + content + bytes(64)


def tiff(order: str, subfile: int) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + struct.pack(f"{order}HHHII", 1, 254, 4, 1, subfile) + bytes(4)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (boxes(b"heic", b"mif1", b"heic"), "HEIC"),
        (boxes(b"mif1", b"heic"), "HEIC"),
        (boxes(b"avif", b"mif1"), "AVIF"),
        (boxes(b"crx ", b"isom"), "a camera raw file"),
        (boxes(b"mp42", b"isom"), "a video (MP4)"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a camera raw file"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG, a drawing"),
        (b"\n<!DOCTYPE HTML><html><body>404", "an HTML page"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "a Photoshop file"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\xff\xd8\xff\xe0", None),
        (b"", None),
    ],
)
def test_file_formats(data: bytes, name: str | None) -> None:
    assert file_format(data) == name


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_first_image_of_camera_raw_files_is_a_preview(order: str) -> None:
    assert is_preview(tiff(order, 1))
    assert not is_preview(tiff(order, 0))
    assert not is_preview(tiff(order, 1)[:12])
    assert not is_preview(b"\xff\xd8")


def test_a_preview_is_not_taken_for_the_image() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12)).save(stream, "TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageError, match="camera raw file, of which only a preview"):
        opened.probe(stream.getvalue())


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)


def test_check_counts_images_in_a_format_that_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "_formats", lambda: ("JPEG", "PNG"))
    for place in range(4):
        noise(tmp_path / f"rose/{place}.png", place)
        noise(tmp_path / f"tulip/{place}.png", 10 + place)
    for name in ("rose/4.HEIC", "rose/5.jpg", "tulip/6.heif"):  # content counts, not the name
        (tmp_path / name).write_bytes(boxes(b"heic", name.encode().ljust(12)))
    (tmp_path / "tulip/7.avif").write_bytes(boxes(b"avif"))
    (tmp_path / "tulip/8.svg").write_bytes(b"<svg></svg>")
    record = striate.check(tmp_path)
    assert dict(record.classes) == {"rose": 6, "tulip": 7}
    found = {issue.detail: issue.files for issue in record.issues if issue.kind == "unreadable"}
    heic = (
        "3 images left out: 2 of 6 'rose', 1 of 7 'tulip' are HEIC, which needs pillow-heif "
        "(pip install 'striate[heif]')"
    )
    assert found == {
        heic: ("rose/4.HEIC", "rose/5.jpg", "tulip/6.heif"),
        "1 image left out: 1 of 7 'tulip' is AVIF, which needs Pillow 11.3 or later": ("tulip/7.avif",),
        "1 image left out: 1 of 7 'tulip' is SVG, a drawing": ("tulip/8.svg",),
    }


def test_heic_is_read_with_pillow_heif() -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24] = (200, 30, 30)
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(stream, quality=95)
    info = opened.probe(stream.getvalue())
    assert (info.format, info.width, info.height, info.animated) == ("HEIF", 48, 32, False)
    found = decode.decode(stream.getvalue(), Preprocess(size=(32, 48), fit="stretch"))
    assert np.abs(found.astype(int) - pixels).mean() < 8
    with pytest.raises(ImageError, match="damaged"):
        decode.decode(stream.getvalue()[:80], Preprocess(size=(8, 8)))


def test_avif_is_read() -> None:
    if "AVIF" not in opened._formats():
        pytest.skip("this Pillow does not read AVIF")
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (10, 200, 30)).save(stream, "AVIF")
    assert opened.probe(stream.getvalue()).format == "AVIF"
    with pytest.raises(ImageError, match="damaged"):
        decode.decode(boxes(b"avif"), Preprocess(size=(8, 8)))
