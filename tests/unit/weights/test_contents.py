"""Files that are not weights say what they are and what to do."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.core.errors import CheckpointError
from striate.weights import read_state

PAGE = b"\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FILES = {
    "a page": ("w.pth", PAGE, "is a web page"),
    "a page called safetensors": ("w.safetensors", PAGE, "is a web page"),
    "a pointer": ("w.safetensors", POINTER, "git lfs pull"),
    "an answer of a server": ("w.bin", b"Entry not found", r"is a text \('Entry not found'\)"),
    "a packed file": ("w.pth", b"\x1f\x8b\x08\x00" + b"\0" * 20, "unpack it first"),
    "fastai's export": ("export.pkl", pickle.dumps([1]), "learn.model.state_dict"),
    "an ONNX program": ("w.onnx", b"\x08\x07", "ONNX"),
    "a bare pickle": ("w.pth", pickle.dumps({"a": 1}), "not one that torch.save wrote"),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_what_is_not_weights_says_what_it_is(tmp_path: Path, file: tuple[str, bytes, str]) -> None:
    name, content, said = file
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_state(tmp_path / name)
    assert "weights_only" not in str(caught.value)


def test_torchscript_and_keras_archives_are_named(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/constants.pkl", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_state(tmp_path / "w.pt")
    for name in ("w.keras", "w.h5"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("model.weights.h5", b"")
        with pytest.raises(CheckpointError, match="save_weights"):
            read_state(tmp_path / name)


def test_content_counts_before_the_suffix(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.h5")
    assert set(read_state(tmp_path / "w.h5")) == {"a"}


def test_what_is_not_a_regular_file_is_never_opened(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    for suffix in (".pt", ".safetensors", ".npz", ".h5"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        with pytest.raises(CheckpointError, match="a named pipe, not a regular file"):
            read_state(tmp_path / f"pipe{suffix}")
