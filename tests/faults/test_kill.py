"""Processes that are killed, interrupted, and started again: the same command goes on, to the same numbers.

Commands run as processes of their own. They are stopped when their log has reached a drawn length, so that the moments
are spread over the work and not over the start of PyTorch.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drawings import draw

NO_TTA = [sys.executable, "-m", "striate"]
OFTEN_SAVED = "from striate.training import options; options.Saving.__init__.__kwdefaults__['every_s'] = 0.05; "
SHORT = "from striate.records import plans; plans.FitPlan.__init__.__kwdefaults__['work_s'] = 0.1; "
GO = "from striate.cli import main; main()"
OFTEN = [sys.executable, "-c", OFTEN_SAVED + GO]  # training's state is saved many times a second, not every 15 seconds
BRIEF = [sys.executable, "-c", SHORT + GO]  # candidates train for fewer epochs
BRIEF_AND_OFTEN = [sys.executable, "-c", SHORT + OFTEN_SAVED + GO]
FINISHED = {"model.safetensors", "model.json", "metrics.json", "predictions.csv", "report.html"}
FINISHED |= {"log.jsonl", "plan.json", "images.npy", "figures"}


def start(command: list[str], home: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"STRIATE_HOME": str(home), "STRIATE_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(command: list[str], home: Path) -> None:
    process = start(command, home)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def stop(command: list[str], home: Path, out: Path, lines: int, how: signal.Signals) -> tuple[int, str]:
    """Start a command, send it a signal once its log has so many lines more, and tell how it ended."""
    before, process = len(log(out)), start(command, home)
    while len(log(out)) - before < lines and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def log(out: Path) -> list[dict[str, Any]]:
    path = out / "log.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def states(out: Path) -> list[str]:
    return [each["state"] for each in log(out) if each["event"] == "run"]


def epochs_after_the_last_start(out: Path) -> list[float]:
    events = log(out)
    last = max(i for i, each in enumerate(events) if each["event"] == "run")
    return [each["epoch"] for each in events[last:] if each["event"] == "epoch"]


def numbers(out: Path) -> Any:
    """`metrics.json` less times and where the run went on, and the files that tell of images."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if not k.startswith("seconds") and k != "resumes"}
        return [strip(each) for each in value] if isinstance(value, list) else value

    metrics = strip(json.loads((out / "metrics.json").read_text()))
    table = out / "predictions.csv"
    return metrics, (out / "model.safetensors").read_bytes(), table.read_text() if table.exists() else ""


def fit(data: Path, out: Path, by: list[str] = BRIEF) -> list[str]:
    return [*by, "fit", str(data), "--backbone", "lenet5", "--engine", "torch", "--no-scratch", "--out", str(out)]


def test_a_stopped_fit_resumes_to_the_same_results(tmp_path: Path) -> None:
    data, whole, out, home = draw(tmp_path / "data", 12), tmp_path / "whole", tmp_path / "run", tmp_path / "home"
    finish(fit(data, whole), tmp_path / "other")
    lines, rng = len(log(whole)), random.Random(3)
    moments = [rng.randint(part * lines // 3 + 1, (part + 1) * lines // 3) for part in range(2)]

    out.mkdir()
    (out / ".plan.json.x1.part").write_text('{"verb": "f')  # a kill in the first moment leaves this
    code, _ = stop(fit(data, out, BRIEF_AND_OFTEN), home, out, moments[0], signal.SIGKILL)
    assert code == -signal.SIGKILL

    code, said = stop(fit(data, out, BRIEF_AND_OFTEN), home, out, moments[1] - len(log(out)), signal.SIGINT)
    assert code == 130, said
    assert f"run the same command again to resume the run in {out}" in said
    assert "Traceback" not in said
    assert {f.name for f in out.iterdir()} == {"plan.json", "log.jsonl", "work"}

    (out / ".model.safetensors.x2.part").write_bytes(bytes(9))
    with (out / "log.jsonl").open("a") as stream:
        stream.write('{"at_s": 1.2, "ev')

    finish(fit(data, out), home)
    assert numbers(out) == numbers(whole)
    assert {f.name for f in out.iterdir()} == FINISHED
    assert states(out) == ["fresh", "unfinished", "unfinished"]
    done = len(epochs_after_the_last_start(out))
    assert 0 < done < len([each for each in log(whole) if each["event"] == "epoch"]), "nothing was kept"


def train(data: Path, out: Path, by: list[str] = NO_TTA) -> list[str]:
    return [*by, "train", "lenet5", str(data), "--recipe", "lenet_short", "--epochs", "20", "--out", str(out)]


@pytest.mark.slow
def test_a_killed_training_resumes_where_it_stopped(tmp_path: Path) -> None:
    home, out, whole = tmp_path / "home", tmp_path / "run", tmp_path / "whole"
    data = draw(tmp_path / "images", 120)
    finish(train(data, whole), home)
    code, _ = stop(train(data, out, OFTEN), home, out, 9, signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, said = stop([*OFTEN, "train", "--resume", str(out)], home, out, 6, signal.SIGTERM)
    assert code == 130, said
    assert f"to resume the run: striate train --resume {out}" in said
    finish([*NO_TTA, "train", "--resume", str(out)], home)
    assert numbers(out) == numbers(whole)
    assert states(out) == ["fresh", "unfinished", "unfinished"]
    trained = next(each for each in log(out) if each["event"] == "trained")
    assert (trained["steps"], trained["step"] > 4) == (40, True)  # two steps an epoch
    assert epochs_after_the_last_start(out) == [float(n) for n in range(trained["step"] // 2 + 1, 21)]
    assert {f.name for f in out.iterdir()} == FINISHED


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills(tmp_path: Path) -> None:
    data = draw(tmp_path / "images", 300)
    whole, out, home = tmp_path / "whole", tmp_path / "run", tmp_path / "home"

    def command(by: list[str], folder: Path) -> list[str]:
        return [*by, "fit", str(data), "--backbone", "lenet5", "--out", str(folder)]

    finish(command(NO_TTA, whole), tmp_path / "other")
    # what a process logs again after a kill comes on top, so that the moments drift towards the end less than they seem
    for moment in sorted(random.Random(0).sample(range(1, len(log(whole))), 10)):
        stop(command(OFTEN, out), home, out, max(1, moment - len(log(out))), signal.SIGKILL)
    finish(command(NO_TTA, out), home)
    assert numbers(out) == numbers(whole)
    assert states(out) == ["fresh"] + 10 * ["unfinished"]
