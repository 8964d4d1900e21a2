"""``striate features``: the file, what is printed, and wrong usage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import striate
from drawings import draw
from striate.cli.app import app


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("features") / "shapes", 4)


def call(*words: object):
    return CliRunner().invoke(app, ["features", *map(str, words)])


def test_writes_what_python_gives(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "features.npz"
    done = call("lenet5:mnist", data, "--stage", "stage1", "--out", file, "--json")
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    want = striate.features("lenet5:mnist", data, stage="stage1")
    assert record == {"file": str(file), "shape": list(want.values.shape), "stage": "stage1", "unreadable": {}}
    with np.load(file) as kept:
        assert np.array_equal(kept["features"], want.values)
        assert np.array_equal(kept["labels"], want.labels)
        assert tuple(kept["files"]) == want.files
        assert tuple(kept["classes"]) == want.classes


def test_prints_the_shape_and_the_unreadable(data: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for place, file in enumerate(sorted(data.rglob("*.png"))[:3]):
        (flat / f"{place}.png").write_bytes(file.read_bytes())
    (flat / "bad.png").write_bytes(b"no image")
    done = call("lenet5:mnist", flat, "--out", tmp_path / "features.npy")
    assert done.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["images"] == "3"
    assert lines["features"] == "84 (head.f6)"
    assert lines["unreadable"] == "1 (bad.png)"
    assert np.load(tmp_path / "features.npy").shape == (3, 84)


def test_wrong_usage_and_unknown_stages(data: Path, tmp_path: Path) -> None:
    assert call("lenet5:mnist", data).exit_code == 2
    done = call("lenet5:mnist", data, "--out", tmp_path / "features.csv")
    assert done.exit_code == 2
    assert "does not end in .npz or .npy" in done.stderr
    done = call("lenet5:mnist", data, "--stage", "stage9", "--out", tmp_path / "features.npy")
    assert done.exit_code == 1
    assert "no feature layer 'stage9'" in done.stderr


@pytest.mark.parametrize("name", ["thesis.npz", "thesis.npy"])
def test_a_file_that_holds_something_else_is_kept(name: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    done = call("lenet5:mnist", data, "--out", tmp_path / name)
    assert done.exit_code == 1
    assert "exists and does not hold features" in done.stderr
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("name", ["again.npz", "again.npy"])
def test_features_replace_features(name: str, data: Path, tmp_path: Path) -> None:
    assert call("lenet5:mnist", data, "--out", tmp_path / name).exit_code == 0
    assert call("lenet5:mnist", data, "--stage", "stage1", "--out", tmp_path / name).exit_code == 0
