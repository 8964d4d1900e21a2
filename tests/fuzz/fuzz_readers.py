"""The readers of files from elsewhere, each with small valid files to damage."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from striate.core.preprocess import Preprocess
from striate.data import decode, digest, standard
from striate.data.index import scan
from striate.records import io as records
from striate.records import recipes
from striate.weights import trained
from striate.weights.readers import read_state

PREPROCESS = Preprocess(size=(24, 24), resize=28)


@dataclass(frozen=True, slots=True)
class Reader:
    """A way in for files.

    Args:
        name: For the command line and the table.
        file: Name of the file that it reads, below the folder of a case.
        seeds: Makes valid files.
        read: Reads the file of a folder to the end.
        slow: The read starts a process: such a reader gets a twentieth of the cases.
        beside: Other files that the folder must have, by name.
    """

    name: str
    file: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[Path], Any]
    slow: bool = False
    beside: Callable[[], dict[str, bytes]] = field(default=dict)


def pixels(side: int = 20, channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A smooth image."""
    y, x = np.mgrid[:side, :side]
    most = np.iinfo(dtype).max
    grey = (most * (x + y) / (2 * side)).astype(dtype)
    return grey if channels == 1 else np.stack([grey] * channels, -1)


@cache
def image_files() -> tuple[bytes, ...]:
    """One small image in every format and mode that is common."""
    found = []
    plain = Image.fromarray(pixels())
    exif = plain.getexif()
    exif[0x0112] = 6
    turned = {"exif": exif.tobytes()}
    wanted: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (plain, "PNG", {}),
        (plain, "JPEG", turned),
        (plain, "JPEG", {"progressive": True}),
        (plain.convert("CMYK"), "JPEG", {}),
        (plain, "WEBP", turned),
        (plain, "WEBP", {"lossless": True}),
        (plain, "BMP", {}),
        (plain.quantize(16), "GIF", {"save_all": True, "append_images": [plain.quantize(8)]}),
        (plain.convert("RGBA"), "PNG", {}),
        (plain.quantize(16), "PNG", {"transparency": 3}),
        (Image.fromarray(pixels(channels=1, dtype=np.uint16)), "PNG", {}),
        (Image.fromarray(pixels(channels=1, dtype=np.uint16)), "TIFF", {}),
        (plain, "TIFF", {"compression": "tiff_lzw", "save_all": True, "append_images": [plain]}),
        (plain, "TIFF", {"compression": "jpeg"}),
        (plain, "PPM", {}),
        (plain, "JPEG2000", {}),
        (plain, "AVIF", {}),
    ]
    for image, kind, options in wanted:
        stream = io.BytesIO()
        try:
            image.save(stream, kind, **options)
        except (KeyError, OSError):  # this build of Pillow does not write it
            continue
        found.append(stream.getvalue())
    return tuple(found)


def read_image(folder: Path) -> None:
    raw = (folder / "image").read_bytes()
    decode.decode(raw, PREPROCESS)
    decode.thumbnail(raw)


def torch_files() -> tuple[bytes, ...]:
    state = {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3, dtype=torch.float16), "n": torch.tensor(7)}
    found = []
    for content, old in ((state, False), ({"state_dict": state, "epoch": 3, "best": 0.5}, False), (state, True)):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=not old)
        found.append(stream.getvalue())
    return tuple(found)


def safetensors_files() -> tuple[bytes, ...]:
    from safetensors.torch import save

    return (save({"a": torch.ones(3, 2), "b": torch.zeros(4, dtype=torch.bfloat16)}, {"made": "here"}),)


def npz_files() -> tuple[bytes, ...]:
    found = []
    for write in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        write(stream, a=np.ones((3, 2), np.float32), b=np.arange(4))
        found.append(stream.getvalue())
    return tuple(found)


def h5_files() -> tuple[bytes, ...]:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"conv/kernel:0"]
        file.attrs["layer_names"] = [b"conv"]
        group.create_dataset("conv/kernel:0", data=np.ones((2, 2), np.float32))
        group.create_dataset("more", data=np.ones((8, 8), np.float32), chunks=(4, 4), compression="gzip")
    return (stream.getvalue(),)


def members() -> dict[str, bytes]:
    images = image_files()
    return {"train/cat/1.png": images[0], "train/dog/2.jpg": images[1], "train/dog/3.png": images[0], "notes.txt": b"x"}


def zip_files() -> tuple[bytes, ...]:
    found = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, content in members().items():
                archive.writestr(name, content)
        found.append(stream.getvalue())
    return tuple(found)


def tar_files(mode: str = "w") -> tuple[bytes, ...]:
    found = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode, format=kind) as archive:  # pyright: ignore[reportCallIssue,reportArgumentType]
            for name, content in members().items():
                entry = tarfile.TarInfo(name if kind == tarfile.USTAR_FORMAT else f"{'é' * 60}/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        found.append(stream.getvalue())
    return tuple(found)


def read_archive(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        index = scan(folder / name)
        for position in range(len(index)):
            index.read(position)

    return read


def csv_files() -> tuple[bytes, ...]:
    stream = io.StringIO()
    csv.writer(stream).writerows(
        [["path", "label", "split"], ["a.png", "cat, big", "train"], ["b.png", 'the "dog"', "test"]]
    )
    return stream.getvalue().encode(), stream.getvalue().encode("utf-8-sig")


def parquet_files() -> tuple[bytes, ...]:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"path": ["a.png", "b.png"], "label": ["cat", "dog"], "split": ["train", "test"]})
    found = []
    for compression in ("NONE", "SNAPPY", "GZIP"):
        stream = io.BytesIO()
        parquet.write_table(table, stream, compression=compression)
        found.append(stream.getvalue())
    return tuple(found)


def two_images() -> dict[str, bytes]:
    return {"a.png": image_files()[0], "b.png": image_files()[0]}


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def mnist() -> dict[str, bytes]:
    images, labels = np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
    return {
        f"{part}-{what}": idx(content)
        for part in ("train", "t10k")
        for what, content in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels))
    }


def read_mnist(folder: Path) -> None:
    index = standard.load("mnist", folder)
    for position in range(len(index)):
        index.read(position)


def digest_files() -> tuple[bytes, ...]:
    stream = io.BytesIO()
    np.save(stream, np.arange(8, dtype=np.uint64))
    return (stream.getvalue(),)


def recipe_files() -> tuple[bytes, ...]:
    text = 'optimizer = "adamw"\nlr = 5e-4\nbatch = 64\nepochs = 100\n\n[schedule]\nkind = "cosine"\nwarmup = 0.05\n'
    return (text.encode(), (text + "\n[augment]\nflip = true\ncrop_scale = [0.3, 1.0]\n").encode())


def card_files() -> tuple[bytes, ...]:
    card = trained.ModelCard(
        network="lenet5", options={}, layer=None, classes=tuple("0123456789"), temperature=1.5,
        start={"weights": "random"}, preprocess=Preprocess(size=(32, 32), mean=(0.5,), std=(0.25,), channels="grey"),
    )  # fmt: skip
    return (json.dumps(records.to_json(card)).encode(), records.dumps(card).encode())


def read_card(folder: Path) -> None:
    trained.read_card(folder)
    found = trained.find(str(folder))
    assert found is not None
    trained.load(found)


def weights_beside() -> dict[str, bytes]:
    bundled = Path(trained.__file__).with_name("bundled") / "lenet5_mnist.safetensors"
    return {trained.WEIGHTS: bundled.read_bytes()}


READERS = {
    each.name: each
    for each in (
        Reader("image", "image", image_files, read_image),
        Reader("torch", "w.pt", torch_files, lambda folder: read_state(folder / "w.pt")),
        Reader("safetensors", "w.safetensors", safetensors_files, lambda folder: read_state(folder / "w.safetensors")),
        Reader("npz", "w.npz", npz_files, lambda folder: read_state(folder / "w.npz")),
        Reader("hdf5", "w.h5", h5_files, lambda folder: read_state(folder / "w.h5"), slow=True),
        Reader("zip", "a.zip", zip_files, read_archive("a.zip")),
        Reader("tar", "a.tar", tar_files, read_archive("a.tar")),
        Reader("tar.gz", "a.tar.gz", lambda: tar_files("w:gz"), read_archive("a.tar.gz")),
        Reader("csv", "m.csv", csv_files, lambda folder: scan(folder / "m.csv"), beside=two_images),
        Reader("parquet", "m.parquet", parquet_files, lambda folder: scan(folder / "m.parquet"), beside=two_images),
        Reader(
            "idx", "train-images-idx3-ubyte", lambda: [mnist()["train-images-idx3-ubyte"]], read_mnist, beside=mnist
        ),
        Reader("digests", "d.npy", digest_files, lambda folder: digest.count_in_set(folder / "d.npy", ["0" * 64])),
        Reader("recipe", "r.toml", recipe_files, lambda folder: recipes.recipe(str(folder / "r.toml"))),
        Reader("card", trained.CARD, card_files, read_card, beside=weights_beside),
    )
}


def case(reader: Reader, folder: Path, content: bytes) -> Path:
    """Write the files of one case into an empty folder.

    Returns:
        The folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, other in reader.beside().items():
        (folder / name).write_bytes(other)
    (folder / reader.file).write_bytes(content)
    return folder
