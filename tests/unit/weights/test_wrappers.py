"""The weights among what a checkpoint holds: averaged ones first, prefixes taken off, other sets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from striate.core.errors import CheckpointError, UnknownWeightsError
from striate.models import REGISTRY
from striate.weights import open_model, read_state
from striate.weights.readers import read_weights
from striate.weights.wrappers import without_prefixes


def state(value: float, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}a.weight": torch.full((2,), value), f"{prefix}b.bias": torch.zeros(1)}


def saved(tmp_path: Path, content: Any) -> Path:
    torch.save(content, tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.mark.parametrize("averaged", ["state_dict_ema", "model_ema", "ema", "ema_state_dict", "params_ema"])
@pytest.mark.parametrize("raw", ["state_dict", "model", "params"])
def test_the_averaged_weights_are_taken_and_the_others_by_name(tmp_path: Path, raw: str, averaged: str) -> None:
    path = saved(tmp_path, {raw: state(1), averaged: {"module": state(2, "module.")}, "epoch": 3})
    read = read_weights(path)
    assert read.tensors["a.weight"][0] == 2
    assert averaged in read.notes[0]
    assert f"w.pth#{raw}" in read.notes[0]
    assert read_state(path, raw)["a.weight"][0] == 1
    assert not read_weights(path, raw).notes
    with pytest.raises(CheckpointError, match=rf"no weights called 'best'.*#{raw}"):
        read_state(path, "best")


def test_averages_of_torch_and_of_none_are_understood(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    path = saved(tmp_path, {"model": model.state_dict(), "model_ema": averaged.state_dict()})
    assert set(read_state(path)) == {"weight", "bias"}
    path = saved(tmp_path, {"model": state(1), "model_ema": None, "ema": {"decay": 0.9}})
    assert read_weights(path).tensors["a.weight"][0] == 1
    assert not read_weights(path).notes


@pytest.mark.parametrize("key", ["net", "params", "module", "state_dict", "model_state_dict", "network"])
def test_wrappers_in_wrappers(tmp_path: Path, key: str) -> None:
    path = saved(tmp_path, {key: {"state_dict": state(1)}, "optimizer": {"state": {}, "param_groups": []}})
    assert set(read_state(path)) == {"a.weight", "b.bias"}


PREFIXES = ("module.", "model.", "net.", "backbone.", "encoder.", "_orig_mod.", "model.module._orig_mod.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_are_taken_off_and_named(tmp_path: Path, prefix: str) -> None:
    read = read_weights(saved(tmp_path, {"state_dict": state(1, prefix)}))
    assert set(read.tensors) == {"a.weight", "b.bias"}
    assert prefix in read.notes[0]


def test_a_prefix_of_some_names_stays() -> None:
    assert without_prefixes(["model.a", "b"]) == ({"model.a": "model.a", "b": "b"}, "")
    assert without_prefixes(["backbone.a", "head.fc.w"]) == ({"backbone.a": "a", "head.fc.w": "head.fc.w"}, "backbone.")
    assert without_prefixes(["head.a", "head.b"])[1] == ""
    assert without_prefixes(["model.", "model.a"])[1] == ""  # a name would be empty


def peer_of_resnet18(prefix: str = "", logits: str = "fc") -> dict[str, Tensor]:
    """A state of our ResNet-18 by torchvision's names."""
    from striate.weights.maps.resnet import torchvision
    from striate.weights.maps.rules import Rule

    ours = REGISTRY.get("resnet18").create(classes=7).state_dict()
    named = {}
    for name in theirs():
        for row in torchvision(None):  # pyright: ignore[reportArgumentType]
            target = row.rename(name) if isinstance(row, Rule) else None
            if target in ours:
                short = name.replace("fc.", f"{logits}.") if name.startswith("fc.") else prefix + name
                named[short] = ours[target]
    return named


def theirs() -> list[str]:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{n}" for n in norm), "fc.weight", "fc.bias"]
    for stage in range(1, 5):
        for unit in range(2):
            for conv in (1, 2):
                names += [
                    f"layer{stage}.{unit}.conv{conv}.weight",
                    *(f"layer{stage}.{unit}.bn{conv}.{n}" for n in norm),
                ]
        if stage > 1:
            names += [f"layer{stage}.0.downsample.0.weight", *(f"layer{stage}.0.downsample.1.{n}" for n in norm)]
    return names


def test_lightning_and_mmpretrain_files_open(tmp_path: Path) -> None:
    for content in (
        {"state_dict": peer_of_resnet18("model.", "model.fc"), "hyper_parameters": {"lr": 0.1}, "epoch": 3},
        {"state_dict": peer_of_resnet18("backbone.", "head.fc"), "meta": {"dataset_meta": {}}},
    ):
        opened = open_model(f"resnet18:{saved(tmp_path, content)}")
        assert opened.model.classes == 7
        assert "which was left out" in opened.note


def test_a_set_of_weights_is_named_behind_the_file(tmp_path: Path) -> None:
    raw, averaged = (REGISTRY.get("resnet20_cifar").create().state_dict() for _ in range(2))
    path = saved(tmp_path, {"state_dict": raw, "state_dict_ema": averaged})
    opened = open_model(f"resnet20_cifar:{path}")
    assert "the averaged ones (EMA), state_dict_ema, are taken" in opened.note
    assert torch.equal(opened.model.state_dict()["stem.conv.weight"], averaged["stem.conv.weight"])
    opened = open_model(f"resnet20_cifar:{path}#state_dict")
    assert torch.equal(opened.model.state_dict()["stem.conv.weight"], raw["stem.conv.weight"])
    with pytest.raises(CheckpointError, match="no weights called 'other'"):
        open_model(f"resnet20_cifar:{path}#other")
    with pytest.raises(UnknownWeightsError):
        open_model(f"resnet20_cifar:{path}x#state_dict")
