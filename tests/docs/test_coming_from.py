"""Every line of docs/coming-from.md that is ours runs, section by section, offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import DataLoader

import striate
from drawings import draw
from striate.models import REGISTRY

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
_CODE = re.compile(r"`([^`]+)`")


def sections() -> dict[str, list[str]]:
    """The code in the last column of every row of a table, by the heading above it."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("| `"):
            theirs, ours = (cell.strip() for cell in line.strip("|").split(" | "))
            assert _CODE.search(theirs), line
            found.setdefault(heading, []).append(_CODE.fullmatch(ours)[1])  # pyright: ignore[reportOptionalSubscript]
    return found


def small(classes: int, in_channels: int) -> nn.Sequential:
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3, stride=2), nn.ReLU(), *pool, nn.Linear(8, classes))


def torchvision_state() -> dict[str, torch.Tensor]:
    """The tensors of a ResNet-18 for ten classes under torchvision's names."""
    state: dict[str, torch.Tensor] = {}

    def add(conv: str, norm: str, out: int, into: int, kernel: int) -> None:
        state[f"{conv}.weight"] = torch.zeros(out, into, kernel, kernel)
        for each in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{each}"] = torch.ones(out)

    add("conv1", "bn1", 64, 3, 7)
    for layer, out in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            into = out // 2 if layer > 1 and block == 0 else out
            add(f"layer{layer}.{block}.conv1", f"layer{layer}.{block}.bn1", out, into, 3)
            add(f"layer{layer}.{block}.conv2", f"layer{layer}.{block}.bn2", out, out, 3)
            if into != out:
                add(f"layer{layer}.{block}.downsample.0", f"layer{layer}.{block}.downsample.1", out, into, 1)
    return state | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> striate.Run:
    """The run that some lines use, in a folder that also holds `photos` and `photo.png`."""
    folder = tmp_path_factory.mktemp("coming")
    draw(folder / "photos", 10)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "photo.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(folder / "home"))
        patch.chdir(folder)
        out = folder / "fitted"
        return striate.fit("photos", backbone="lenet5:mnist", scratch=False, engine="torch", work_s=1e-5, out=out)


def names(run: striate.Run) -> dict[str, Any]:
    """What the lines of a section find."""
    model = striate.create_model("resnet18", classes=10)
    X, y = load_digits(return_X_y=True)
    return {
        "striate": striate,
        "model": model,
        "state": torchvision_state(),
        "images": torch.rand(2, 3, 64, 64),
        "photo": Image.open("photo.png").copy(),
        "transform": striate.weights.get("resnet20_cifar:cifar10").transforms(),
        "run": run,
        "small": small,
        "X": X[:80],
        "y": y[:80],
        "Path": Path,
        "DataLoader": DataLoader,
        "make_pipeline": make_pipeline,
        "StandardScaler": StandardScaler,
        "SVC": SVC,
        "cross_val_score": cross_val_score,
        "GridSearchCV": GridSearchCV,
    }


@pytest.mark.parametrize("section", sections())
def test_our_lines_run(section: str, run: striate.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.folder.parent)
    monkeypatch.setattr(REGISTRY, "_entries", dict(REGISTRY._entries))
    known = names(run)
    for line in sections()[section]:
        try:
            exec(compile(line, section, "exec"), known)
        except Exception as error:
            raise AssertionError(f"{line}\n{error}") from error


def test_the_page_has_every_library() -> None:
    found = sections()
    assert set(found) == {"torchvision", "timm", "Keras", "fastai", "scikit-learn", "PyTorch", "segmentation_models"}
    assert sum(map(len, found.values())) > 60
    assert "takes no argument 'num_classes'; use classes" in PAGE
    with pytest.raises(striate.ArgumentError, match="takes no argument 'num_classes'; use classes"):
        striate.create_model("resnet18", num_classes=3)
