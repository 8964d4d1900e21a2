"""Files of torch.save: read as data, nothing in them is called, and their sizes are held against the file."""

from __future__ import annotations

import argparse
import datetime
import io
import pickle
import time
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.core.errors import CheckpointError
from striate.weights import pickled, read_state
from striate.weights.pickled import Inert, interpret

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, 2.0])}
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "uint16")


def saved(tmp_path: Path, content: Any, *, zipped: bool = True) -> Path:
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def replaced(path: Path, content: bytes, member: str = "data.pkl") -> Path:
    """A file of torch.save with another pickle in it."""
    other = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for each in old.infolist():
            new.writestr(each.filename, content if each.filename.endswith(member) else old.read(each))
    return other


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_that_were_saved(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        **{name: torch.tensor([1, 0, 3]).to(getattr(torch, name)) for name in DTYPES},
        "transposed": base.t(),
        "part of a storage": base[1:3, 2:],
        "shared": base,
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    found = read_state(saved(tmp_path, state, zipped=zipped))
    assert set(found) == set(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_networks_state_with_its_metadata_is_read(tmp_path: Path, zipped: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}
    path = saved(tmp_path, {"optimizer": optimizer, "model": model.state_dict()}, zipped=zipped)
    found = read_state(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())


def test_objects_beside_the_weights_are_left_alone(tmp_path: Path) -> None:
    beside = {
        "args": argparse.Namespace(lr=0.1, out=Path("runs"), when=datetime.datetime(2020, 1, 1)),
        "best": np.float64(91.2),
        "array": np.arange(3),
        "path": tmp_path,
        "counts": defaultdict(list, a=[1]),
        "order": OrderedDict(a=1),
        "names": {"x", "y"},
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "version": torch.__version__,
    }
    found = read_state(saved(tmp_path, beside | {"state_dict": STATE}))
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


def test_no_function_of_a_pickle_is_looked_up_or_called() -> None:
    content = pickle.dumps(argparse.Namespace(lr=0.1))
    assert interpret(io.BytesIO(content), "x.pt") == Inert("argparse.Namespace")
    for text in (b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04\x8c\x02os\x8c\x06system\x93.", b"(S'true'\nios\nsystem\n."):
        with pytest.raises(CheckpointError, match=r"asks for os\.system to be executed, which is refused"):
            interpret(io.BytesIO(text), "x.pt")
    with pytest.raises(CheckpointError, match="extension 7"):
        interpret(io.BytesIO(b"\x82\x07."), "x.pt")


NESTED = b"\x80\x02]q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(100))
HOSTILE = {
    "a dict in itself": b"\x80\x02}q\x00X\x05\x00\x00\x00modelq\x01h\x00s.",
    "two dicts in each other": b"\x80\x02}q\x00}q\x01X\x05\x00\x00\x00modelq\x02h\x00sh\x00h\x02h\x01s0h\x00.",
    "tuples of tuples as a key": NESTED + b"}q\x01h\x00K\x01s.",
    "tuples of tuples": NESTED + b".",
    "an endless row of marks": b"\x80\x02" + b"(" * 100_000,
    "a text longer than the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a number of huge length": b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
    "a place in the memo that is far away": b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "nothing": b"",
    "a stop at once": b".",
    "a reference to nothing": b"\x80\x02K\x01Q.",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles_end_at_once_with_our_error(tmp_path: Path, content: bytes) -> None:
    path = replaced(saved(tmp_path, STATE), content)
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"changed\.pt"):
        read_state(path)
    assert time.perf_counter() - start < 5


def test_a_pickle_has_a_greatest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MAX_STEPS", 1000)
    with pytest.raises(CheckpointError, match="more than 1,000 steps"):
        interpret(io.BytesIO(b"N" * 1001 + b"."), "x.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path, zipped: bool) -> None:
    wide = torch.ones(1).expand(3_000_000_000)
    with pytest.raises(CheckpointError, match=r"w is said to hold 3,000,000,000 numbers, and the file has 1"):
        read_state(saved(tmp_path, {"w": wide}, zipped=zipped))


def test_a_length_beyond_the_file_is_damage_and_not_a_lack_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"abc.")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        read_state(path)


OTHERS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "meta": lambda: torch.ones(2, device="meta"),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "complex64": lambda: torch.ones(2, dtype=torch.complex64),
    "float8_e4m3fn": lambda: torch.ones(2).to(torch.float8_e4m3fn),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", OTHERS)
def test_tensors_that_no_network_takes_are_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(CheckpointError, match=rf"w (is a|holds) {kind}"):
        read_state(saved(tmp_path, {"w": OTHERS[kind]()}))


def test_a_storage_that_is_missing_or_cut_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "less.pt", "w") as new:
        for each in old.infolist():
            if not each.filename.endswith("data/0"):
                new.writestr(each.filename, old.read(each))
    with pytest.raises(CheckpointError, match=r"the numbers of a\.weight are missing"):
        read_state(tmp_path / "less.pt")
    old = saved(tmp_path, STATE, zipped=False)
    old.write_bytes(old.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="cut short"):
        read_state(old)
