from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import DataError, ImageError
from striate.data.column import CategoryColumn, TextColumn
from striate.data.index import ImageIndex, scan
from striate.data.labels import class_column, numbers
from striate.data.layout import natural


def classes(index: ImageIndex) -> tuple[str, ...]:
    column = index.annotation("label")
    assert isinstance(column, CategoryColumn)
    return column.values


def labels(index: ImageIndex) -> list[str]:
    return list(index.annotation("label"))


def png(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (shade % 256, shade // 256 % 256, 7)).save(stream, "PNG")
    return stream.getvalue()


def fill(root: Path, *names: str) -> Path:
    for shade, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(shade))
    return root


FLAT = ("10/a.png", "9/a.png", "9/b.PNG", "10/deep/er/c.png")
COMPETITION = ("train/x/1.png", "train/y/2.png", "test/3.png")
PARTED = ("set/Train/x/1.png", "set/Train/y/2.png", "set/val/x/3.png", "set/val/y/4.png")


def pack(names: tuple[str, ...], path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for shade, name in enumerate(names):
                method = zipfile.ZIP_DEFLATED if shade % 2 else zipfile.ZIP_STORED
                archive.writestr(name, png(shade), compress_type=method)
        return path
    mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(path, mode) as archive:
        for shade, name in enumerate(names):
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(png(shade))
            archive.addfile(member, io.BytesIO(png(shade)))
    return path


def test_text_column_is_a_sequence() -> None:
    column = TextColumn(["a", "", "grün/1.jpg", "z"])
    assert list(column) == ["a", "", "grün/1.jpg", "z"]
    assert column[-2] == "grün/1.jpg"
    assert column[1:3] == ["", "grün/1.jpg"]
    assert len(TextColumn([])) == 0
    with pytest.raises(IndexError):
        column[4]


def test_natural_order() -> None:
    assert sorted(["10", "9", "a10", "A9", "b"], key=natural) == ["9", "10", "A9", "a10", "b"]


def test_flat_folder(tmp_path: Path) -> None:
    index = scan(fill(tmp_path, *FLAT))
    assert index.kind == "folder"
    assert classes(index) == ("9", "10")
    assert list(index.names) == ["10/a.png", "10/deep/er/c.png", "9/a.png", "9/b.PNG"]
    assert labels(index) == ["10", "10", "9", "9"]
    assert index.splits is None
    assert index.read(3) == png(2)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip"])
@pytest.mark.parametrize("names", [FLAT, PARTED, COMPETITION])
def test_archives_give_the_same_index_as_the_folder(tmp_path: Path, ending: str, names: tuple[str, ...]) -> None:
    folder = scan(fill(tmp_path / "folder", *names))
    archive = scan(pack(names, tmp_path / f"data{ending}"))
    assert archive.kind == "archive"
    assert list(archive.names) == list(folder.names)
    assert classes(archive) == classes(folder)
    assert labels(archive) == labels(folder)
    assert archive.splits == folder.splits
    assert archive.skipped == folder.skipped
    assert [archive.read(i) for i in range(len(archive))] == [folder.read(i) for i in range(len(folder))]


def test_archives_are_refused_as_folders_are(tmp_path: Path) -> None:
    path = pack(("train/x/1.png", "train/y/2.png", "x/3.png"), tmp_path / "data.zip")
    with pytest.raises(DataError, match=rf"data\.zip: 'train' is named like a split.*check classes:{path}"):
        scan(path)
    assert classes(scan(f"classes:{path}")) == ("train", "x")


def test_a_val_without_a_test_is_the_test_split(tmp_path: Path) -> None:
    index = scan(fill(tmp_path, *PARTED))
    assert index.splits == ("train", "train", "test", "test")
    fill(tmp_path, "set/testing/x/9.png")
    assert scan(tmp_path).splits == ("train", "train", "test", "validation", "validation")


@pytest.mark.parametrize(
    ("spelling", "split"),
    [
        ("training_set", "train"),
        ("training", "train"),
        ("validation", "validation"),
        ("valid", "validation"),
        ("val_set", "validation"),
        ("testing", "test"),
        ("test_set", "test"),
    ],
)
def test_spellings_of_splits(tmp_path: Path, spelling: str, split: str) -> None:
    others = {"train", "val", "test"} - {{"validation": "val"}.get(split, split)}
    fill(tmp_path, *(f"{top}/{c}/{top}.png" for top in (*others, spelling) for c in "ab"))
    index = scan(tmp_path)
    assert index.splits is not None
    assert index.splits[list(index.names).index(f"{spelling}/a/{spelling}.png")] == split


def test_classes_that_are_called_like_splits(tmp_path: Path) -> None:
    fill(tmp_path, "train/1.png", "plane/1.png", "test/1.png")
    with pytest.raises(DataError, match=rf"'plane' stands beside them.*classes:{tmp_path}"):
        scan(tmp_path)
    index = scan(f"classes:{tmp_path}")
    assert classes(index) == ("plane", "test", "train")
    assert index.splits is None


def test_a_lone_split(tmp_path: Path) -> None:
    index = scan(fill(tmp_path / "one", "train/a/1.png", "train/b/1.png"))
    assert classes(index) == ("a", "b")
    assert index.splits is None
    index = scan(fill(tmp_path / "two", "test/a/1.png", "test/b/1.png"))
    assert classes(index) == ("a", "b")
    assert index.splits == ("test", "test")
    assert scan(tmp_path / "two/test").splits is None


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/1.png", "loose.png")
    for name in ("a/notes.txt", "a/Thumbs.db", "a/.DS_Store", "README.md"):
        (tmp_path / name).write_text("x")
    fill(tmp_path, ".net/1.png", ".git/objects/1.png")
    index = scan(tmp_path)
    assert len(index) == 2
    assert set(index.skipped) == {"a/notes.txt", "loose.png", ".net/1.png"}


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    fill(tmp_path, "data/a/1.png", "elsewhere/2.png")
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/a/again").symlink_to(tmp_path / "data")
    (tmp_path / "data/a/self.png").symlink_to("self.png")
    index = scan(tmp_path / "data")
    assert list(index.names) == ["a/1.png", "a/self.png", "b/2.png"]
    with pytest.raises(ImageError, match=r"a/self\.png cannot be read"):
        index.read(1)


def test_stamps_change_with_the_file(tmp_path: Path) -> None:
    index = scan(fill(tmp_path, "a/1.png", "b/1.png"))
    before = index.stamp(0)
    assert before == index.stamp(0) != index.stamp(1)
    (tmp_path / "a/1.png").write_bytes(png(99))
    assert index.stamp(0) != before
    (tmp_path / "a/1.png").unlink()
    assert index.stamp(0).endswith(":0")
    with pytest.raises(ImageError, match=r"a/1\.png cannot be read"):
        index.read(0)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_manifests(tmp_path: Path, ending: str) -> None:
    fill(tmp_path, "p/1.png", "p/2.png", "p/3.png", "p/4.png")
    rows = [("p/2.png", "dog", "val", "g"), ("p/1.png", "cat", "train", ""), ("p/3.png", "dog", "Train", "g")]
    path = tmp_path / f"list{ending}"
    if ending == ".csv":
        lines = ["﻿Path, label,note,split,group", *(f"{p},{y},,{s},{g}" for p, y, s, g in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = dict(zip(("path", "label", "split", "group"), zip(*rows, strict=True), strict=True))
        parquet.write_table(pyarrow.table({name: list(cells) for name, cells in columns.items()}), path)
    index = scan(path)
    assert index.kind == "manifest"
    assert list(index.names) == ["p/1.png", "p/2.png", "p/3.png"]
    assert labels(index) == ["cat", "dog", "dog"]
    assert index.splits == ("train", "test", "train")
    assert index.groups == ("", "g", "g")
    assert index.read(1) == png(1)


def test_unlabelled_images_of_a_manifest_are_skipped(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png", "3.png", "4.png")
    rows = "1.png,cat,train\n2.png,dog,train\n3.png,,test\n4.png,,{}\n"
    for split in ("test", "unlabelled"):
        (tmp_path / "list.csv").write_text("path,label,split\n" + rows.format(split))
        index = scan(tmp_path / "list.csv")
        assert list(index.names) == ["1.png", "2.png"]
        assert index.splits is None
        assert index.skipped == {
            name: f"it is unlabelled: no image of the {each} split has a label"
            for name, each in (("3.png", "test"), ("4.png", split))
        }
    (tmp_path / "list.csv").write_text("path,label,split\n" + rows.replace("3.png,", "3.png,cat").format("test"))
    with pytest.raises(DataError, match=r"1 images without a label: 4\.png"):
        class_column(scan(tmp_path / "list.csv"))


def test_a_manifest_finds_files_in_either_form_of_accents(tmp_path: Path) -> None:
    composed, decomposed = "m\u00fcsli", "mu\u0308sli"
    fill(tmp_path, f"p/{decomposed}/1.png", f"p/{decomposed}/2 {composed}.png", "oats/3.png")
    lines = [
        f"p/{composed}/1.png,{decomposed},g{composed}",
        f"p/{composed}/2 {decomposed}.png,{composed},g{decomposed}",
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *lines, "oats/3.png,oats,"]), encoding="utf-8")
    index = scan(tmp_path / "list.csv")
    assert labels(index) == ["oats", composed, composed]
    assert index.groups == ("", f"g{composed}", f"g{composed}")
    assert [index.read(i) for i in range(3)] == [png(2), png(0), png(1)]


def test_a_model_knows_its_classes_in_either_form_of_accents(tmp_path: Path) -> None:
    composed, decomposed = "m\u00fcsli", "mu\u0308sli"
    index = scan(fill(tmp_path, f"{decomposed}/1.png", "oats/3.png"))
    assert classes(index) == (composed, "oats")
    for known in (composed, decomposed):
        assert numbers(index, ("oats", known), {"oats": 0, known: 1}.get).tolist() == [1, 0]


def test_the_images_of_a_split(tmp_path: Path) -> None:
    index = scan(fill(tmp_path, "val/a/1.png", "val/b/1.png", "test/a/1.png"))
    assert index.in_split("val").tolist() == [1, 2]
    assert index.in_split("Test Set").tolist() == [0]
    with pytest.raises(DataError, match=r"has no split 'train'; its splits: test, validation"):
        index.in_split("train")


def test_digits_need_no_files() -> None:
    index = scan("digits")
    assert (len(index), classes(index), index.splits) == (1797, tuple("0123456789"), None)
    image = index.read(0)
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype, image.max()) == ((8, 8), np.uint8, 239)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_files(shared_data: Path, name: str) -> None:
    index = scan(name, root=shared_data)
    assert index.splits is not None
    assert (len(index), index.splits.count("test")) == (70_000, 10_000)
    image = index.read(60_000)
    assert isinstance(image, np.ndarray)
    assert image.shape == (28, 28)
    assert labels(index)[60_000] == {"mnist": "7", "fashion_mnist": "Ankle boot"}[name]
    assert set(Counter(labels(index)).values()) == {7000} or name == "mnist"


def test_cifar_as_archives(tmp_path: Path) -> None:
    pack(("train/truck/1.png", "train/cat/1.png"), tmp_path / "train.tar.xz")
    pack(("test/cat/1.png", "test/dog/2.png"), tmp_path / "test.tar.xz")
    index = scan("cifar10", root=tmp_path)
    assert len(classes(index)) == 10
    assert list(zip(index.names, labels(index), index.splits or (), strict=True)) == [
        ("train/cat/1.png", "cat", "train"),
        ("train/truck/1.png", "truck", "train"),
        ("test/cat/1.png", "cat", "test"),
        ("test/dog/2.png", "dog", "test"),
    ]
    assert [index.read(i) for i in range(4)] == [png(1), png(0), png(0), png(1)]


def test_cifar_as_folders(tmp_path: Path) -> None:
    fill(tmp_path / "cifar10", "train/cat/1.png", "train/dog/1.png", "test/cat/2.png")
    index = scan("cifar10", root=tmp_path)
    assert labels(index) == ["cat", "cat", "dog"]
    assert index.splits == ("test", "train", "train")


@pytest.mark.parametrize(("name", "label_bytes"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar_binary(tmp_path: Path, name: str, label_bytes: int) -> None:
    files = {
        "cifar10": [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"],
        "cifar100": ["train.bin", "test.bin"],
    }[name]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(files), 2, 32, 32, 3), dtype=np.uint8)
    for number, file in enumerate(files):
        with open(tmp_path / file, "wb") as stream:
            for image in images[number]:
                stream.write(bytes([9] * (label_bytes - 1) + [number]) + image.transpose(2, 0, 1).tobytes())
    index = scan(name, root=tmp_path)
    assert len(set(index.names)) == len(index) == 2 * len(files)
    assert labels(index) == [classes(index)[n] for n in range(len(files)) for _ in range(2)]
    assert index.splits is not None
    assert index.splits.count("test") == 2
    for i in range(len(index)):
        np.testing.assert_array_equal(index.read(i), images[i // 2, i % 2])


@pytest.mark.parametrize(
    ("folder", "file", "images", "split"),
    [
        ("photos-hymenoptera", "hymenoptera.tar", 397, 153),
        ("photos-flowers", "flowers5.tar", 2499, 0),
        ("photos-cats-dogs", "cats_dogs.tar", 800, 400),
    ],
)
def test_real_archives(shared_data: Path, folder: str, file: str, images: int, split: int) -> None:
    index = scan(shared_data / folder / file)
    assert len(index) == images
    assert (index.splits or ()).count("test") == split
    assert index.skipped == {}


def test_a_compressed_archive_that_changes_within_one_tick_of_the_clock_is_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def archive(shade: int) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name in ("cat/1.ppm", "dog/1.ppm"):
                data = b"P6 2 2 255\n" + bytes([shade]) * 12
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return gzip.compress(stream.getvalue(), compresslevel=0, mtime=0)

    path = tmp_path / "pets.tar.gz"
    path.write_bytes(archive(1))
    first = path.stat()
    # The file system's clock stands still: size, inode, mtime and ctime are those of the first archive.
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **options: first if self == path else stat(self, **options))
    assert scan(path).read(0)[-1] == 1
    path.write_bytes(archive(2))
    assert scan(path).read(0)[-1] == 2
