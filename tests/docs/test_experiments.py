"""Every experiment runs for a few steps on generated images and writes its table and its plot.

The experiments run in a separate process, because they register networks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from drawings import draw

FOLDER = Path(__file__).resolve().parents[2] / "experiments"
QUICK = ("dense_against_conv", "fashion", "lenet_mnist")
SLOW = tuple(sorted({each.stem for each in FOLDER.glob("*.py")} - {"experiment", *QUICK}))
DRIVER = """
import sys, importlib
sys.path.insert(0, sys.argv[1])
import torch, experiment
torch.set_num_threads(1)
for name in sys.argv[4:]:
    module = importlib.import_module(name)
    for _ in range(2 if name == "lenet_mnist" else 1):  # the second time, all results exist
        arguments = ["--data", sys.argv[2], "--budget", "1s", "--out", sys.argv[3] + "/" + name, "--device", "cpu"]
        experiment.main(module.EXPERIMENT, arguments)
"""


def results(names: Sequence[str], folder: pytest.TempPathFactory) -> Path:
    """Run experiments within a second each, and give the folder of their results."""
    data, out = folder.mktemp("data"), folder.mktemp("out")
    draw(data / "train", 6, colour=True)
    draw(data / "test", 4, colour=True, first=100)
    command = [sys.executable, "-c", DRIVER, str(FOLDER), str(data), str(out), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results(QUICK, tmp_path_factory)


@pytest.fixture(scope="module")
def ran_slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results(SLOW, tmp_path_factory)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in (*QUICK, *SLOW)])
def test_experiment_writes_a_table_and_a_plot(name: str, request: pytest.FixtureRequest) -> None:
    ran: Path = request.getfixturevalue("ran" if name in QUICK else "ran_slow")
    found = json.loads((ran / name / "results.json").read_text())
    labels = [row["arm"]["label"] for row in found["rows"]]
    assert len(labels) == len(set(labels)) >= 2
    assert found["findings"]
    page = (ran / name / "results.md").read_text()
    plot = ElementTree.parse(ran / name / "curves.svg").getroot()
    lines = [each for each in plot.iter() if each.tag.endswith("polyline")]
    assert len(lines) == len(labels)
    for row in found["rows"]:
        assert 0 < row["steps"] <= row["full_steps"]
        assert row["fraction"] == pytest.approx(row["steps"] / row["full_steps"])
        assert row["test_interval"][0] <= row["test_error"] <= row["test_interval"][1]
        assert (row["train_error"] is not None) == (name in ("degradation", "dense_against_conv"))
        assert f"| {row['arm']['label']} | {row['parameters']:,} | `{row['arm']['recipe']}`" in page
    assert all(sentence in page for sentence in found["findings"])


@pytest.mark.slow
def test_numbers_of_parameters(ran: Path) -> None:
    def parameters(name: str) -> list[int]:
        return [row["parameters"] for row in json.loads((ran / name / "results.json").read_text())["rows"]]

    small, middle, wide = parameters("fashion")
    assert small < middle < 100_000 < wide < 200_000
    dense, conv = parameters("dense_against_conv")
    assert abs(dense - conv) < 0.01 * dense


@pytest.mark.slow
def test_ensembles_are_compared_with_their_members(ran_slow: Path) -> None:
    found = json.loads((ran_slow / "ensembles" / "results.json").read_text())
    page = (ran_slow / "ensembles" / "results.md").read_text()
    errors = {row["arm"]["label"]: row["test_error"] for row in found["rows"]}
    assert set(found["ensembles"]) == {"Three seeds", "Snapshots of one run", "Two architectures"}
    for label, scores in found["ensembles"].items():
        assert f"## {label}" in page
        assert scores[0]["gain"] is None
        assert {score["tta"] for score in scores} == {None, "mirror"}
    seeds = [score["model"] for score in found["ensembles"]["Three seeds"]]
    assert seeds == [each for name in ("seed-0", "seed-1", "seed-2", "ensemble of 3") for each in (name, name)]
    assert found["ensembles"]["Three seeds"][0]["top1_error"] == pytest.approx(errors["seed 0"])
    assert found["ensembles"]["Snapshots of one run"][0]["top1_error"] == pytest.approx(errors["cycles"])


@pytest.mark.slow
def test_a_small_fraction_allows_few_findings(ran_slow: Path) -> None:
    found = json.loads((ran_slow / "degradation" / "results.json").read_text())
    assert max(row["fraction"] for row in found["rows"]) < 0.01
    assert len(found["findings"]) == 3
    assert "too short to compare the depths" in found["findings"][-1]


def test_missing_training_split_is_an_error_before_training(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(FOLDER / "dense_against_conv.py"),
        "--data",
        "digits",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "digits has no training split" in done.stderr
    assert not (tmp_path / "out").exists()
