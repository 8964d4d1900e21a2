"""What `predict` takes: files, folders, archives and patterns."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from striate.core.errors import DataError, ImageError
from striate.data.transforms import read_image
from striate.jobs.inputs import Inputs


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "new images"
    for name in ("10.png", "9.png", "below/a.jpg", ".hidden.png", "notes.txt", "__MACOSX/9.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coded(len(name)) if path.suffix != ".txt" else b"notes")
    return folder


def coded(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "png")
    return stream.getvalue()


def test_a_folder_gives_the_images_below_it_in_natural_order(images: Path) -> None:
    found = Inputs([str(images)])
    assert found.names == tuple(f"{images}/{name}" for name in ("9.png", "10.png", "below/a.jpg"))
    assert [read_image(image) for image in found] == [coded(5), coded(6), coded(11)]


def test_a_pattern_gives_the_files_that_match(images: Path) -> None:
    assert Inputs([f"{images}/*.png"]).names == (f"{images}/9.png", f"{images}/10.png")
    assert Inputs([f"{images}/**/*.jpg"]).names == (f"{images}/below/a.jpg",)


def test_a_file_with_the_characters_of_a_pattern_is_a_file(images: Path) -> None:
    odd = images / "a[1]*.png"
    odd.write_bytes(coded(3))
    assert Inputs([str(odd)]).names == (str(odd),)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_gives_its_images(images: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"new.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            for name in ("10.png", "9.png", "notes.txt"):
                packed.write(images / name, name)
    else:
        with tarfile.open(file, "w:gz" if kind.endswith("gz") else "w") as archive:
            for name in ("10.png", "9.png", "notes.txt"):
                archive.add(images / name, name)
    found = Inputs([str(file)])
    assert found.names == (f"{file}/9.png", f"{file}/10.png")
    assert [read_image(image) for image in found] == [coded(5), coded(6)]


def test_forms_can_be_mixed_and_keep_their_order(images: Path) -> None:
    found = Inputs([f"{images}/10.png", f"{images}/below", f"{images}/[9].png"])
    assert [Path(name).name for name in found.names] == ["10.png", "a.jpg", "9.png"]


def test_nothing_found_is_an_error(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for asked in (tmp_path / "empty", f"{images}/*.gif"):
        with pytest.raises(DataError):
            Inputs([str(asked)])


def test_a_missing_file_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    found = Inputs([str(tmp_path / "missing.png")])
    assert len(found) == 1
    with pytest.raises(ImageError):
        read_image(found[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [("", "path is empty"), ("https://example.org/a.png", "https://example.org/a.png is an address")],
)
def test_words_that_are_no_path_are_refused(asked: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Inputs([asked])
