from __future__ import annotations

import contextlib
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from striate.core.errors import CheckpointError, OutOfMemoryError
from striate.training import checkpoint
from striate.weights import read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, 2.0])}


class Malice:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".tar"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_old_and_new(tmp_path: Path, suffix: str, zipped: bool) -> None:
    file = tmp_path / f"weights{suffix}"
    torch.save({"epoch": 3, "best": 91.2, "state_dict": STATE}, file, _use_new_zipfile_serialization=zipped)
    assert same(read_state(file))


def test_wrappers_and_prefixes_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"model": {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}}}, file)
    assert same(read_state(file))


def test_a_model_of_one_module_called_module_keeps_other_names(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"module.a": torch.ones(1), "b": torch.ones(1)}, file)
    assert set(read_state(file)) == {"module.a", "b"}


def test_safetensors_and_npz(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights.safetensors")
    np.savez(tmp_path / "weights.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    assert same(read_state(tmp_path / "weights.safetensors"))
    assert same(read_state(tmp_path / "weights.npz"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_execute_something_is_refused_and_never_run(tmp_path: Path, zipped: bool) -> None:
    mark, file = tmp_path / "mark", tmp_path / "weights.pt"
    torch.save({"state_dict": STATE, "more": Malice(mark)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="executed, which is refused"):
        read_state(file)
    assert not mark.exists()
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Malice(mark)))
    with pytest.raises(CheckpointError):
        read_state(bare)
    assert not mark.exists()


def test_a_pickle_in_an_npz_is_refused_and_never_run(tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "weights.npz"
    np.savez(file, allow_pickle=True, evil=np.array([Malice(mark)], dtype=object))
    with pytest.raises(CheckpointError, match="pickle, which is refused"):
        read_state(file)
    assert not mark.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_state(tmp_path / "weights.pt")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz", ".h5", ".th"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_files_give_one_clear_error(tmp_path: Path, suffix: str, damage: str) -> None:
    file = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(STATE, file)
    elif suffix == ".npz":
        np.savez(file, **{name: tensor.numpy() for name, tensor in STATE.items()})
    elif suffix == ".h5":
        with h5py.File(file, "w") as h5:
            h5["a/a/kernel:0"] = np.ones((200, 30))
    else:
        torch.save(STATE, file, _use_new_zipfile_serialization=suffix == ".pth")
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) * 2 // 3], "empty": b"", "text": b"<html>404</html>\n"}[damage])
    with pytest.raises(CheckpointError, match="weights"):
        read_state(file)


def test_a_damaged_archive_member_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY no header")
    with pytest.raises(CheckpointError, match="cut short"):
        read_state(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    save_file(STATE | {"b.weight": torch.tensor([1.0, value])}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"infinite values in b\.weight"):
        read_state(tmp_path / "weights.safetensors")


def test_other_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        read_state(tmp_path / "weights.pt")
    (tmp_path / "weights.zip").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no kind of file"):
        read_state(tmp_path / "weights.zip")
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="a list, not named tensors"):
        read_state(tmp_path / "list.pt")
    torch.save({"a": torch.ones(1), "epoch": 3}, tmp_path / "mixed.pt")
    with pytest.raises(CheckpointError, match="more than tensors: epoch"):
        read_state(tmp_path / "mixed.pt")


def test_keras_2_names_become_layer_and_weight(tmp_path: Path) -> None:
    for inside in ("", "model_weights/"):
        file = tmp_path / "weights.h5"
        with h5py.File(file, "w") as h5:
            h5[f"{inside}conv1/conv1/kernel:0"] = np.ones((3, 3, 3, 8), "f4")
            h5[f"{inside}conv1_bn/batch_normalization/gamma:0"] = np.ones(8, "f4")
            h5[f"{inside}conv2/bn/conv2/bn/gamma:0"] = np.ones(8, "f4")  # the layer's own name has a slash
            h5[f"{inside}nested/fc1/kernel:0"] = np.ones((2, 3), "f4")
            h5[f"{inside}nested/fc2/kernel:0"] = np.ones((3, 3), "f4")
            h5.create_group(f"{inside}pool")
            if inside:
                h5["optimizer_weights/adam/m:0"] = np.ones(3, "f4")
        names = {"conv1/kernel", "conv1_bn/gamma", "conv2/bn/gamma", "fc1/kernel", "fc2/kernel"}
        assert set(read_state(file)) == names


def test_keras_3_names_come_from_the_layers_attribute(tmp_path: Path) -> None:
    file = tmp_path / "model.weights.h5"
    with h5py.File(file, "w") as h5:
        for group, name, shapes in [
            ("conv2d", "conv1", [(3, 3, 3, 8), (8,)]),
            ("separable_conv2d", "conv2", [(3, 3, 8, 1), (1, 1, 8, 4)]),
            ("batch_normalization", "conv1_bn", [(8,)] * 4),
            ("batch_normalization_1", "conv2_bn", [(8,)] * 3),
        ]:
            folder = h5.create_group(f"layers/{group}/vars")
            folder.attrs["name"] = name
            for position, shape in enumerate(shapes):
                folder[str(position)] = np.full(shape, position, "f4")
        h5["optimizer/vars/0"] = np.array(1)
    state = read_state(file)
    assert set(state) == {
        "conv1/kernel",
        "conv1/bias",
        "conv2/depthwise_kernel",
        "conv2/pointwise_kernel",
        *(f"conv1_bn/{each}" for each in ("gamma", "beta", "moving_mean", "moving_variance")),
        *(f"conv2_bn/{each}" for each in ("beta", "moving_mean", "moving_variance")),
    }
    assert state["conv1_bn/moving_variance"][0] == 3
    assert state["conv2_bn/moving_variance"][0] == 2
    with h5py.File(file, "a") as h5:
        del h5["layers/conv2d/vars"].attrs["name"]
    with pytest.raises(CheckpointError, match="does not say what its layers are called"):
        read_state(file)


def test_an_h5_link_out_of_the_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as h5:
        h5["layer/layer/kernel:0"] = np.ones((2, 2), "f4")
    with h5py.File(tmp_path / "weights.h5", "w") as h5:
        h5["a/a/kernel:0"] = np.ones((2, 2), "f4")
        h5["b"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/layer")
    with pytest.raises(CheckpointError, match="link to another file"):
        read_state(tmp_path / "weights.h5")


def hdf5(path: Path, kind: str) -> Path:
    """A file of Keras' form in which one array is not what it seems."""
    with h5py.File(path, "w") as h5:
        h5["a/a/kernel:0"] = np.ones((2, 2), "f4")
        if kind == "external storage":
            (path.parent / "secret").write_bytes(b"\0" * 16)
            h5.create_dataset("b/b/kernel:0", (2, 2), "f4", external=[(str(path.parent / "secret"), 0, 16)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((2, 2), "f4")
            layout[:] = h5py.VirtualSource(str(path.parent / "secret.h5"), "k", (2, 2))
            h5.create_virtual_dataset("b/b/kernel:0", layout)
        elif kind == "link at the top":
            h5["model_weights"] = h5py.ExternalLink(str(path.parent / "secret.h5"), "/layer")
        elif kind == "soft link to a link":
            h5["away"] = h5py.ExternalLink(str(path.parent / "secret.h5"), "/layer")
            h5["model_weights"] = h5py.SoftLink("/away")
        elif kind == "only a fill value":
            h5.create_dataset("b/b/kernel:0", (10**12,), "f4", fillvalue=1)
        elif kind == "packed ten thousand times":
            h5.create_dataset("b/b/kernel:0", data=np.zeros(2 * 10**7, "f4"), chunks=(2 * 10**7,), compression=1)
        elif kind == "texts":
            h5.create_dataset("b/b/kernel:0", data=["x", "y"], dtype=h5py.string_dtype())
        else:
            h5.create_dataset("b/b/kernel:0", data=h5py.Empty("f4"))
    return path


H5 = {
    "external storage": "in another file, which is refused",
    "virtual": "in another file, which is refused",
    "link at the top": "link to another file",
    "soft link to a link": "its model_weights is no group",
    "only a fill value": "has none of them",
    "packed ten thousand times": "more than a file of its size can",
    "texts": "not plain numbers",
    "nothing": "holds nothing in",
}


@pytest.mark.parametrize(("kind", "said"), H5.items(), ids=H5)
def test_an_h5_that_reaches_outside_itself_or_lies_about_its_size_is_refused(
    tmp_path: Path, kind: str, said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_state(hdf5(tmp_path / "weights.h5", kind))


def test_an_h5_that_the_library_does_not_finish_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tmp_path / "endless.py"
    endless.write_text("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass\n")
    monkeypatch.setattr("striate.weights.hdf5._SCRIPT", endless)
    with pytest.raises(CheckpointError, match="does not come to an end"):
        read_state(hdf5(tmp_path / "weights.h5", "nothing"))


def npz(path: Path, header: bytes, data: bytes = b"\0" * 16) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
    return path


HEADERS = {
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000,), }\n": "says that it holds 250,000,000,000",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }\n": "says that it holds -4 numbers",
    b"{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }\n": "not plain numbers",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n": "holds a pickle, which is refused",
    b"{'descr': (((\n": r"weights\.npz",
    b"(" * 9000: r"weights\.npz",
}


@pytest.mark.parametrize(("header", "said"), HEADERS.items(), ids=[str(each[:45]) for each in HEADERS])
def test_an_npz_must_hold_what_its_headers_say(tmp_path: Path, header: bytes, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_state(npz(tmp_path / "weights.npz", header))


def test_arrays_of_any_order_and_of_the_other_byte_order_are_read(tmp_path: Path) -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    np.savez_compressed(tmp_path / "w.npz", big=array, turned=np.asfortranarray(array), scalar=np.float32(2))
    found = read_state(tmp_path / "w.npz")
    assert torch.equal(found["big"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["turned"], found["big"])
    assert found["scalar"].shape == ()
    with h5py.File(tmp_path / "w.h5", "w") as h5:
        h5["a/a/kernel:0"] = array
    assert torch.equal(read_state(tmp_path / "w.h5")["a/kernel"], found["big"])


def test_a_broken_zip_or_stream_is_our_error(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "w.npz", a=np.arange(1000.0))
    whole = bytearray((tmp_path / "w.npz").read_bytes())
    for place in range(40, len(whole), 97):
        broken = whole.copy()
        broken[place] ^= 0xFF
        (tmp_path / "b.npz").write_bytes(broken)
        with contextlib.suppress(CheckpointError):
            read_state(tmp_path / "b.npz")


def test_out_of_memory_is_no_verdict_on_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    save_file(STATE, tmp_path / "weights.safetensors")
    monkeypatch.setattr("safetensors.torch.load_file", full)
    with pytest.raises(OutOfMemoryError, match=r"weights\.safetensors does not fit into memory"):
        read_state(tmp_path / "weights.safetensors")


def test_the_state_of_a_training_run_has_the_same_boundary(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    save_file(STATE, file, metadata={"striate": "[" * 100_000})
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        checkpoint.read(file)
