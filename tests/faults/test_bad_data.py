from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from striate.core.errors import DataError, ImageError, MissingExtraError
from striate.data import archive
from striate.data.index import scan
from striate.tasks.classify.task import Classification


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        image(tmp_path / "pets" / name)
    return tmp_path / "pets"


def test_missing_data_suggests_near_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .fashon_mnist.*fashion_mnist"):
        scan("fashon_mnist")
    with pytest.raises(DataError, match=r"there is no file or folder .*nowhere"):
        scan(tmp_path / "nowhere")
    (tmp_path / "file.dat").write_bytes(b"x")
    with pytest.raises(DataError, match="not a dataset in a known format"):
        scan(tmp_path / "file.dat")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no image.*class folders"):
        scan(tmp_path)


def test_a_folder_that_holds_an_archive(tmp_path: Path) -> None:
    (tmp_path / "Photos.TAR.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image, but the archive Photos.TAR.gz.*path of the archive itself"):
        scan(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    image(tmp_path / "1.png")
    with pytest.raises(DataError, match="not in class folders"):
        scan(tmp_path)


def test_one_class(tmp_path: Path) -> None:
    image(tmp_path / "cat/1.png")
    with pytest.raises(DataError, match="one class only: 'cat'"):
        Classification.read(scan(tmp_path))


def test_classes_that_differ_only_in_case(pets: Path) -> None:
    image(pets / "Cat/3.png")
    with pytest.raises(DataError, match=r"'(Cat|cat)' and '(Cat|cat)' differ only in case"):
        Classification.read(scan(pets))


def test_classes_that_differ_only_in_spaces(pets: Path) -> None:
    image(pets / "cat /3.png")
    with pytest.raises(DataError, match=r"'cat ?' and 'cat ?' differ only in case, spaces"):
        Classification.read(scan(pets))


def test_an_empty_class(pets: Path) -> None:
    (pets / "eel").mkdir()
    with pytest.raises(DataError, match="no image: 'eel'"):
        Classification.read(scan(pets))


def test_a_class_that_is_only_tested(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"):
        image(tmp_path / name)
    with pytest.raises(DataError, match="no training image: 'c'"):
        Classification.read(scan(tmp_path))


def test_splits_without_one_for_training(tmp_path: Path) -> None:
    for name in ("val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"):
        image(tmp_path / name)
    index = scan(tmp_path)
    assert index.splits == ("test", "test", "validation", "validation")
    with pytest.raises(DataError, match="no training images: its splits are test and validation"):
        Classification.read(index)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read(pets: Path) -> None:
    (pets / "dog").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read: Permission denied"):
            scan(pets)
    finally:
        (pets / "dog").chmod(stat.S_IRWXU)


def test_a_named_pipe_is_no_image(pets: Path) -> None:
    os.mkfifo(pets / "dog/pipe.png")
    index = scan(pets)
    with pytest.raises(ImageError, match="not a regular file"):
        index.read(list(index.names).index("dog/pipe.png"))


def test_a_file_that_is_far_too_big_is_not_read(pets: Path) -> None:
    with open(pets / "dog/1.png", "wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ImageError, match=r"1,099,511,627,776 bytes"):
        scan(pets).read(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("path,label\n", "no rows below its header"),
        ("file,label\ncat/1.png,cat\n", "has no column 'path'; its columns: file, label"),
        ("path;label\ncat/1.png;cat\n", "separates its columns by ';', not by commas"),
        ("\ufeffLabel;Path\ncat;cat/1.png\n", "separates its columns by ';', not by commas"),
        ("path\tlabel\ncat/1.png\tcat\n", r"separates its columns by '\\t', not by commas"),
        (
            "path,label\ncat/1.png,cat\ncat/9.png,cat\ndog/7.png,dog\n",
            r"has 2 paths without a file: cat/9\.png, dog/7\.png",
        ),
        ("path,label\ncat/1.png,cat\ncat/1.png,dog\n", r"1 repeated paths: cat/1\.png"),
        ("path,label\ncat/1.png,\n", r"1 images without a label: cat/1\.png"),
        ("path,label,split\ncat/1.png,cat,tarin\n", "unknown splits.*'tarin' in row 1"),
        ("path,label\ncat/1.png,cat,extra\n", "line 2: the row has 3 cells, the header 2"),
        ("path,label\ncat/1.png,cat\n", "one class only"),
        ("path,label\ncat/1.png,train\ndog/1.png,Test Set\n", "all labels .* are called like splits: Test Set, train"),
        ("path,age\ncat/1.png,3\n", "has no column 'label'; its annotation columns: age"),
        ("path,label,split\ncat/1.png,cat,val\ndog/1.png,dog,test\n", "no training images: its splits"),
        ("path,label,split\ncat/1.png,cat,test\ndog/1.png,dog,Test Set\n", "no training images: its splits are test"),
    ],
)
def test_manifests(pets: Path, text: str, message: str) -> None:
    (pets / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        Classification.read(scan(pets / "list.csv"))


def test_labels_that_are_called_like_splits(pets: Path) -> None:
    (pets / "list.csv").write_text("path,label\ncat/1.png,train\ndog/1.png,test\n")
    assert Classification.read(scan(f"classes:{pets / 'list.csv'}"))[0].classes == ("test", "train")
    (pets / "list.csv").write_text("path,label\ncat/1.png,train\ndog/1.png,bus\n")  # vehicles
    assert Classification.read(scan(pets / "list.csv"))[0].classes == ("bus", "train")


def test_invalid_manifests_are_rejected(pets: Path) -> None:
    (pets / "list.csv").write_bytes(b"path,label\n\xff\xfe,cat\n")
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        scan(pets / "list.csv")
    (pets / "list.parquet").write_bytes(b"path,label\n")
    with pytest.raises((DataError, MissingExtraError), match=r"cannot be read as Parquet|pyarrow"):
        scan(pets / "list.parquet")


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as made:
        for name in ("a/1.png", "b/1.png"):
            made.addfile(tarfile.TarInfo(name), io.BytesIO())
        for member in members:
            made.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (member("../../etc/x.png"), "would leave it"),
        (member("a/../../x.png"), "would leave it"),
        (member("/etc/x.png"), "would leave it"),
        (member("a/link.png", tarfile.SYMTYPE, "/etc/passwd"), "link, device"),
        (member("a/link.png", tarfile.LNKTYPE, "a/1.png"), "link, device"),
        (member("a/null.png", tarfile.CHRTYPE), "link, device"),
        (member("a/pipe.png", tarfile.FIFOTYPE), "link, device"),
        (member("a/1.png"), "two members called 'a/1.png'"),
    ],
)
def test_hostile_tars(tmp_path: Path, hostile: tarfile.TarInfo, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(tar_with(tmp_path / "x.tar", hostile))


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "..\\x.png", "C:/x.png"])
def test_hostile_zips(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr("a/1.png", b"")
        made.writestr(name, b"")
    with pytest.raises(DataError, match="would leave it"):
        scan(tmp_path / "x.zip")


def test_links_in_zips(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="link or device"):
        scan(tmp_path / "x.zip")


def test_archives_that_are_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 1 << 16)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/1.png", bytes(1 << 22))
    with pytest.raises(DataError, match="would unpack to"):
        scan(tmp_path / "x.zip")
    with gzip.open(tmp_path / "x.tar.gz", "wb") as stream:
        stream.write(bytes(1 << 22))
    with pytest.raises(DataError, match="would unpack to"):
        scan(tmp_path / "x.tar.gz")
    assert not list((Path(os.environ["STRIATE_HOME"]) / "archives").iterdir())


def test_archives_with_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    with pytest.raises(DataError, match="more than 2 members"):
        scan(tar_with(tmp_path / "x.tar", *(member(f"a/{i}.png") for i in range(2, 5))))


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz", ".zip"])
@pytest.mark.parametrize("cut", [0, 100, -700])
def test_damaged_archives(tmp_path: Path, ending: str, cut: int) -> None:
    path = tmp_path / f"x{ending}"
    noise = os.urandom(5000)
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("a/1.png", noise)
    else:
        with tarfile.open(path, f"w:{ending[5:]}") as made:
            info = tarfile.TarInfo("a/1.png")
            info.size = len(noise)
            made.addfile(info, io.BytesIO(noise))
    path.write_bytes(path.read_bytes()[:cut] if ending != ".tar" or cut >= 0 else path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"cannot be read|damaged"):
        scan(path)


def test_a_zip_member_with_a_wrong_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a/1.png", b"the first image")
        made.writestr("b/1.png", b"the second image")
    path.write_bytes(path.read_bytes().replace(b"the first image", b"the worst image"))
    index = scan(path)
    assert index.read(1) == b"the second image"
    with pytest.raises(ImageError, match="checksum"):
        index.read(0)


def test_an_archive_that_shrinks_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    last = member("b/2.png")
    last.size = 3000
    index = scan(tar_with(path, last))
    os.truncate(path, 4000)
    with pytest.raises(ImageError, match="cut short"):
        index.read(2)


def test_standard_sets_without_their_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--root"):
        scan("mnist")
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        scan("mnist", root=tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        scan("cifar10", root=tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no cifar10"):
        scan("cifar10", root=tmp_path)


def test_pickled_cifar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(DataError, match=r"pickled version.*binary version"):
        scan("cifar10", root=tmp_path)


def test_damaged_idx_files(tmp_path: Path) -> None:
    head = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 1, 7)))
    images = tmp_path / "train-images-idx3-ubyte"
    for content, message in (
        (b"", "does not begin as one of bytes"),
        (b"text" * 9, "does not begin as one of bytes"),
        (head + bytes(7), "names 8 bytes, and there are fewer"),
        (head + bytes(9), "names 8 bytes, and there are more"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, r"names 79,228,.* bytes, and the file has 16"),
        (bytes((0, 0, 8, 3)) + bytes(12), "names 0 bytes"),
        (head + bytes(8), "2 images and .* 1 labels"),
    ):
        images.write_bytes(content)
        with pytest.raises(DataError, match=message):
            scan("mnist", root=tmp_path)
    images.rename(images.with_name("train-images-idx3-ubyte.gz"))
    with pytest.raises(DataError, match="cannot be read"):
        scan("mnist", root=tmp_path)
    packed = gzip.compress(bytes((0, 0, 8, 3)) + b"\x7f" * 12 + bytes(100))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"names [0-9,]{30,} bytes"):
        scan("mnist", root=tmp_path)


def test_cut_cifar_binary(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3072))
    with pytest.raises(DataError, match="missing or cut short"):
        scan("cifar10", root=tmp_path)
