"""What a file is by its first bytes: how to read it as weights, or what to do with it instead."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

from striate.core.errors import CheckpointError

_MARKS = {
    b"\x89HDF\r\n\x1a\n": ".h5",
    b"PK\x03\x04": ".zip",
    b"version https://git-lfs": "lfs",
    b"\x1f\x8b": "packed",
    b"\xfd7zXZ": "packed",
    b"BZh": "packed",
    b"(\xb5/\xfd": "packed",
    b"7z\xbc\xaf": "packed",
    b"GGUF": ".gguf",
}
_FOREIGN = {
    ".keras": "a whole Keras model; save its weights alone: model.save_weights('NAME.weights.h5')",
    ".pkl": "a pickle, which would be executed, such as fastai's learn.export() writes; save the tensors alone: "
    "torch.save(learn.model.state_dict(), 'NAME.pth')",
    ".onnx": "a program for ONNX runtimes; give the checkpoint that it was exported from",
    ".tflite": "a program for TensorFlow Lite; give the Keras weights that it was made from",
    ".pb": "a TensorFlow graph; load it in Keras and save its weights: model.save_weights('NAME.weights.h5')",
    ".msgpack": "Flax's weights; fetch the .safetensors that most repositories have beside it",
    ".gguf": "quantised weights of language models; fetch the .safetensors",
    ".mlmodel": "a program for Core ML; give the checkpoint that it was converted from",
    ".caffemodel": "Caffe's weights; fetch the same network from torchvision, timm or Keras",
}
_FOREIGN[".pickle"] = _FOREIGN[".pkl"]


def kind(path: Path, suffixes: frozenset[str]) -> str:
    """The suffix of the reader that a file is for: by its content where that is certain, or else by its name.

    Args:
        path: A regular file.
        suffixes: Of the readers.

    Raises:
        CheckpointError: It is something else; the hint says what to do.
    """
    suffix = path.suffix.lower()
    if suffix in _FOREIGN:
        what, _, advice = _FOREIGN[suffix].partition("; ")
        raise CheckpointError(f"{path} is {what}", hint=advice)
    if suffix not in suffixes:
        raise CheckpointError(
            f"{path} is no kind of file that weights are read from", hint=f"known: {' '.join(sorted(suffixes))}"
        )
    with path.open("rb") as stream:
        start = stream.read(512)
        mark = next((each for begin, each in _MARKS.items() if start.startswith(begin)), None)
        if suffix == ".safetensors" and mark in (".zip", ".h5"):  # who names it so relies on there being no pickle
            raise CheckpointError(
                f"{path} is not what its name says: it is a {'zip archive' if mark == '.zip' else 'file of HDF5'}",
                hint="give it the suffix of what it is, such as .pt, .npz or .h5, if you know where it comes from",
            )
        if mark == ".zip":
            return _archive(path, stream, suffix)
    if mark == "lfs":
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the weights themselves", hint="run git lfs pull in its folder"
        )
    if mark == "packed":
        raise CheckpointError(f"{path} is packed (.gz, .xz, .bz2, .zst or .7z)", hint="unpack it first")
    if mark == ".gguf":
        what, _, advice = _FOREIGN[mark].partition("; ")
        raise CheckpointError(f"{path} is {what}", hint=advice)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(
            f"{path} is a web page (HTML), not weights: the download answered with a page",
            hint="open its address in a browser, and fetch the file that the page links to",
        )
    if mark is None and start and _is_text(start) and not (suffix == ".safetensors" and path.stat().st_size < 8):
        words = " ".join(start.decode("utf-8", "replace").split())[:60]
        raise CheckpointError(f"{path} is a text ({words!r}), not weights", hint="fetch the file again")
    return mark or suffix


def _archive(path: Path, stream: IO[bytes], suffix: str) -> str:
    """A zip archive: of PyTorch, of NumPy, or a whole Keras model."""
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
    except Exception:
        return suffix
    if "model.weights.h5" in names:
        what, _, advice = _FOREIGN[".keras"].partition("; ")
        raise CheckpointError(f"{path} is {what}", hint=advice)
    if any(name.endswith("data.pkl") for name in names):
        return ".pt"
    return ".npz" if names and all(name.endswith(".npy") for name in names) else suffix


def _is_text(start: bytes) -> bool:
    printable = sum(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start)
    return printable == len(start)
