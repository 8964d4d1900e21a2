"""What machines do to long trainings: full disks, signals, dead workers, numbers that are none, too small a batch.

After each of them the state that was saved is whole, and the run that goes on from it ends with the weights of one that
was left in peace.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

from drawings import draw
from striate.cli.app import app
from striate.core.cancel import CancelToken
from striate.core.errors import DataError, JobCancelled, NonFiniteLossError, PlanError, StorageError, WorkerError
from striate.core.events import NoProgress
from striate.data.source import PixelSource
from striate.jobs import train as job
from striate.models import REGISTRY
from striate.records import recipes
from striate.records.plans import RuntimeOptions, TrainPlan
from striate.records.recipes import Recipe, Schedule
from striate.training import checkpoint
from striate.training.loop import Trained, train
from striate.training.options import Hooks, Saving, TrainingOptions

CONSTANT = Schedule(kind="constant")
SHORT = Recipe(lr=0.05, batch=8, epochs=4, schedule=CONSTANT)


class Points:
    """Sixty points in eight dimensions, three classes; `spoil` may change a batch by its number."""

    def __init__(self, spoil: Callable[[int, Tensor], Tensor] = lambda number, x: x) -> None:
        self.x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
        self.y = (self.x[:, :3]).argmax(1)
        self.spoil, self.served = spoil, 0

    def __len__(self) -> int:
        return 60

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        self.served += 1
        return self.spoil(self.served, self.x[samples] + 0.01 * epoch), self.y[samples]


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


class Recorded(NoProgress):
    """Keeps notes and events, and acts at a step."""

    def __init__(self, at: int | None = None, act: Callable[[], None] = lambda: None) -> None:
        self.notes: list[str] = []
        self.events: list[str] = []
        self._at, self._act = at, act

    def step(self, done: int) -> None:
        if done == self._at:
            self._act()

    def note(self, message: str, **facts: Any) -> None:
        self.notes.append(message)

    def record(self, event: str, facts: Any) -> None:
        self.events.append(event)


def trained(module: nn.Module, state: Path | None = None, plan: Recipe = SHORT, **named: Any) -> Trained:
    source, ranks = named.pop("source", None) or Points(), named.pop("ranks", None)
    saving = Saving(file=state, signature="a", every_s=named.pop("save_every_s", 0.0))
    options, loss = TrainingOptions(seed=3, workers=named.pop("workers", 0)), nn.CrossEntropyLoss()
    return train(module, source, plan, options, loss=loss, saving=saving, hooks=Hooks(**named), ranks=ranks)


def in_peace(plan: Recipe = SHORT) -> nn.Module:
    module = network()
    trained(module, plan=plan)
    return module


def agree(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def finite(tensors: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(each).all()) for each in tensors.values() if each.is_floating_point())


# ---------------------------------------------------------------------- full disks


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_disk_that_fills_up_while_the_state_is_saved(tmp_path: Path, monkeypatch, call: str) -> None:
    state, held = tmp_path / "state", {}

    def full(*_: Any) -> None:
        held.setdefault("before", state.read_bytes())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill() -> None:
        if call == "fsync":
            monkeypatch.setattr(os, "fsync", full)
        elif call == "replace":
            monkeypatch.setattr(Path, "replace", full)
        else:
            monkeypatch.setattr("striate.core.atomic.write_bytes", full)
            monkeypatch.setattr("striate.training.checkpoint.write_bytes", torn)

    def torn(path: Path, data: bytes) -> None:
        """Half of the file reaches the disk."""
        from striate.core.atomic import replacing

        with replacing(path) as stream:
            stream.write(data[: len(data) // 2])
            stream.flush()
            full()

    with pytest.raises(StorageError, match="no space is left") as caught:
        trained(network(), state, progress=Recorded(9, fill))
    assert str(state) in caught.value.message
    assert "resumes from its last checkpoint" in (caught.value.hint or "")
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert state.read_bytes() == held["before"]
    again = network()
    assert trained(again, state).resumed_at == 8
    assert agree(again, in_peace())


def test_a_full_disk_under_a_training_and_then_a_larger_one(tmp_path: Path, data: Path, monkeypatch) -> None:
    """A real file system, through the command line: the first state fits, another one beside it does not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1600k", "tmpfs", str(disk)], capture_output=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        command = ["train", "lenet5", str(data), "--recipe", "lenet_short", "--epochs", "4", "--save-every", "0"]
        whole = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "whole")])
        assert whole.exit_code == 0, whole.output

        def fills(path: Path, *_: Any, real: Any = checkpoint.write) -> None:
            if path.exists():
                with (disk / "ballast").open("wb", buffering=0) as ballast:
                    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                    ballast.write(bytes(room - 100_000))
            real(path, *_)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "write", fills)
            full = CliRunner().invoke(app, [*command, "--out", str(disk / "run")])
        assert full.exit_code == 1
        assert f"cannot write {disk / 'run/work/training.safetensors'}: no space is left on the device" in full.stderr
        assert "hint: free some disk space; the run then resumes" in full.stderr
        assert "Traceback" not in full.stderr
        assert not list(disk.rglob("*.part"))
        assert finite(checkpoint.read(disk / "run/work/training.safetensors")[0])
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = CliRunner().invoke(app, ["train", "--resume", str(disk / "run")])
        assert again.exit_code == 0, again.output
        assert same_weights(tmp_path / "whole", disk / "run")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the run's images may still be mapped


# ---------------------------------------------------------------------- numbers that are none


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_nan_at_step_500(tmp_path: Path, value: float) -> None:
    plan = dataclasses.replace(SHORT, steps=520)
    source, heard = Points(lambda number, x: x * value if number == 501 else x), Recorded()
    module = network()
    done = trained(module, tmp_path / "state", plan, source=source, progress=heard, save_every_s=0.02)
    assert done.halved_at is not None
    assert 100 < done.halved_at <= 500
    assert [note for note in heard.notes if "at step 500 of 520" in note and "went back" in note and "half" in note]
    assert heard.events.count("halved") == 1
    assert finite(module.state_dict())
    assert checkpoint.read(tmp_path / "state")[1]["halved_at"] == done.halved_at


def test_the_second_time_ends_the_run_and_the_good_state_stays(tmp_path: Path) -> None:
    state = tmp_path / "state"
    source = Points(lambda number, x: x * float("nan") if number in (9, 12) else x)
    with pytest.raises(NonFiniteLossError, match="at step 10 of 28") as caught:
        trained(network(), state, source=source)
    assert "learning rate" in (caught.value.hint or "")
    tensors, facts = checkpoint.read(state)
    assert (facts["step"], facts["halved_at"]) == (10, 8)
    assert finite(tensors)
    with pytest.raises(NonFiniteLossError):  # nor does the next process get another try
        trained(network(), state, source=Points(lambda number, x: x * float("nan") if number == 3 else x))
    module = network()
    assert trained(module, state).resumes == (10, 12)
    assert finite(module.state_dict())


class Gate(nn.Module):
    """Lets values through, and at one step gradients that are no numbers."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad, self.runs = bad, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.runs += 1
        if self.runs == self.bad and x.requires_grad:
            x.register_hook(lambda gradient: gradient * float("nan"))
        return x


@pytest.mark.parametrize("save_every_s", [0.0, 1e9])
def test_nan_gradients_alone(tmp_path: Path, save_every_s: float) -> None:
    """The loss of that step is sound, and the weights after it are not: with the next loss it would be too late."""
    looked, state = [], tmp_path / "state"

    def evaluate() -> dict[str, float]:
        looked.append(finite(module.state_dict()))
        return {"top1": 0.1 * len(looked)}

    module = nn.Sequential(network(), Gate(14))  # the last step of the second epoch
    done = trained(module, state, evaluate=evaluate, save_every_s=save_every_s)
    assert done.halved_at == (13 if save_every_s == 0 else 7)  # where the best epoch so far ended
    assert looked == [True] * 4
    assert finite(checkpoint.read(state)[0])
    assert finite(module.state_dict())


def test_a_last_step_with_nan_weights_is_detected_without_a_state() -> None:
    with pytest.raises(NonFiniteLossError, match=r"after step 28 of 28"):
        trained(nn.Sequential(network(), Gate(28)))


def test_nan_statistics_are_not_saved(tmp_path: Path) -> None:
    """Values whose variance overflows are normalised to 0: the loss and every weight stay sound."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))
    done = trained(module, tmp_path / "state", source=Points(lambda number, x: x * 1e30 if number == 11 else x))
    assert done.halved_at == 10
    assert finite(module.state_dict())


def test_the_record_describes_the_run(tmp_path: Path, data: Path, monkeypatch) -> None:
    real, served = PixelSource.batch, []

    def batch(source: Any, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        inputs, labels = real(source, samples, epoch)
        served.append(1)
        return (inputs.float() * float("nan") if len(served) == 4 else inputs), labels

    monkeypatch.setattr(recipes, "recipe", lambda name: Recipe(lr=0.05, batch=16, epochs=3, source="test"))
    monkeypatch.setattr(PixelSource, "batch", batch)
    job.run(plan(data), out=tmp_path / "run", progress=NoProgress(), runtime=RuntimeOptions(save_every_s=0))
    assert json.loads((tmp_path / "run/metrics.json").read_text())["halved_at"] == 3


# ---------------------------------------------------------------------- workers that die, and signals


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    """It dies while this process is in a step, and not where it waits for images."""
    state = tmp_path / "state"

    def kill() -> None:
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        time.sleep(5)  # cut short by the news

    with pytest.raises(WorkerError, match=r"died: .*pid.*Killed") as caught:
        trained(network(), state, workers=2, progress=Recorded(9, kill))
    assert "--workers 0" in (caught.value.hint or "")
    assert not multiprocessing.active_children()
    again = network()
    assert trained(again, state, workers=2).resumes == (8,)
    assert agree(again, in_peace())


def test_every_resume_is_known_even_if_the_next_kill_comes_at_once(tmp_path: Path) -> None:
    def stop(number: int, x: Tensor) -> Tensor:
        raise RuntimeError("killed")

    cancel = CancelToken()
    with pytest.raises(JobCancelled):
        trained(network(), tmp_path / "state", progress=Recorded(4, cancel.cancel), cancel=cancel)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            trained(network(), tmp_path / "state", source=Points(stop))
    assert trained(network(), tmp_path / "state").resumes == (5, 5, 5)


GROUP = """
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import torch
torch.set_num_threads(1)
from striate.cli.signals import cancelled_by_signals
from striate.core.cancel import CancelToken
from striate.core.errors import JobCancelled
from striate.training.ranks import Ranks
from test_training_faults import GROUPED, SHORT, Recorded, agree, network, trained
ranks = Ranks(torch.device("cpu"))
plan = SHORT if ranks.world == 1 else GROUPED
whole = network()
trained(whole, plan=plan, ranks=ranks)
for number in (signal.SIGINT, signal.SIGTERM):
    def everybody():
        os.killpg(0, number)
        if ranks.world > 1:  # a launcher passes on what everybody has had from the terminal
            time.sleep(0.1)
            os.killpg(0, number)
    state, heard = Path(sys.argv[3]) / number.name, Recorded(9, everybody if ranks.first else lambda: time.sleep(0.3))
    cancel = CancelToken()
    try:
        with cancelled_by_signals(cancel.cancel, patient=ranks.world > 1):
            trained(network(), state, plan, workers=2, save_every_s=1e9, progress=heard, ranks=ranks, cancel=cancel)
    except JobCancelled:
        ranks.wait()
        again = network()
        resumes = trained(again, state, plan, workers=2, ranks=ranks).resumes
        assert len(resumes) == 1 and resumes[0] in (9, 10), resumes  # the step under way was finished and saved
        assert agree(again, whole)
        print(number.name)
"""
GROUPED = dataclasses.replace(SHORT, micro_batch=4)


@pytest.mark.parametrize("world", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_signal_to_all_processes_saves_first(tmp_path: Path, world: int) -> None:
    """As a terminal's Ctrl-C and a scheduler's SIGTERM come: to the processes that train and to their workers."""
    here = Path(__file__).parent
    command = [sys.executable, "-W", "ignore", "-c", GROUP, str(here), str(here.parent), str(tmp_path)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes: list[subprocess.Popen[str]] = []
    for rank in range(world):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        own = {key: str(value) for key, value in names.items()} if world > 1 else {}
        micro_batch = processes[0].pid if processes else 0
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=os.environ | own, process_group=micro_batch, **pipes))
    for process in processes:
        said = process.communicate(timeout=300)
        assert (process.returncode, *said) == (0, "SIGINT\nSIGTERM\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_command_and_its_workers(tmp_path: Path, number: signal.Signals) -> None:
    data, out, log = draw(tmp_path / "data", 100), tmp_path / "run", tmp_path / "run/log.jsonl"
    command = [sys.executable, "-m", "striate", "train", "lenet5", str(data), "--recipe", "lenet_short"]
    command += ["--epochs", "60", "--workers", "2", "--save-every", "1e9", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    while process.poll() is None and not (log.exists() and '"epoch": 3' in log.read_text()):
        time.sleep(0.01)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 130, said
    assert f"interrupted; to resume the run: striate train --resume {out}" in said
    assert "Traceback" not in said
    assert checkpoint.read(out / "work/training.safetensors")[1]["step"] >= 3  # which nothing but the signal saved


# ---------------------------------------------------------------------- small batches


def test_a_batch_of_one_image_that_a_normalisation_cannot_use() -> None:
    source = Points()
    with pytest.raises(PlanError, match=r"1 would normalise over one value a channel") as caught:
        trained(network(), source=source, plan=dataclasses.replace(SHORT, batch=1))
    assert "batch and group are 2" in (caught.value.hint or "")
    with pytest.raises(PlanError, match="one value a channel"):
        trained(network(), plan=dataclasses.replace(SHORT, batch=4, micro_batch=1))
    assert source.served == 1  # looked at, and not trained on


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MobileNet v2's tiny form, at a size where its last maps are one position."""
    whole = REGISTRY.get("mobilenet_v2")
    small = dataclasses.replace(whole, spec=whole.tiny, input=(3, 32, 32))
    real = REGISTRY.get
    monkeypatch.setattr(REGISTRY, "get", lambda name: small if name == "mobilenet_v2" else real(name))
    shipped = recipes.recipe
    monkeypatch.setattr(recipes, "recipe", lambda name: recipe_of(int(name)) if name.isdigit() else shipped(name))


def recipe_of(batch: int) -> Recipe:
    return Recipe(lr=0.01, batch=batch, epochs=1, source="test")


@pytest.mark.usefixtures("narrow")
def test_a_training_with_a_batch_of_one_image(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"^model\.stage\d\..* would normalise over one value a channel"):
        job.run(plan(data, network="mobilenet_v2", recipe="1"), out=tmp_path / "run", progress=NoProgress())
    assert not (tmp_path / "run").exists()  # the corrected plan may have the name
    assert (
        job.run(
            plan(data, network="mobilenet_v2", recipe="2"), out=tmp_path / "run", progress=NoProgress()
        ).record.steps
        > 1
    )
    # larger maps have a spread of their own, and LeNet-5 has no normalisation
    assert job.run(
        plan(data, network="resnet20_cifar", recipe="1", schedule_fraction=0.1),
        out=tmp_path / "b",
        progress=NoProgress(),
    ).record.steps
    old = job.run(
        plan(data, network="lenet5", recipe="lenet_1998", schedule_fraction=0.02),
        out=tmp_path / "c",
        progress=NoProgress(),
    ).record
    assert (old.recipe["batch"], old.steps > 10, np.isfinite(old.test.loss)) == (1, True, True)


@pytest.mark.usefixtures("narrow")
def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    """They make one batch of their own; a single one makes a batch of one."""
    data = draw(tmp_path / "data" / "train", 2, colour=True).parent
    draw(data / "test", 1, colour=True, first=10)
    assert (
        job.run(
            plan(data, network="mobilenet_v2", recipe="64"), out=tmp_path / "run", progress=NoProgress()
        ).record.steps
        == 1
    )


# ---------------------------------------------------------------------- images that cannot be read


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw(tmp_path / "data", 20)


def plan(data: Path, **fields: Any) -> TrainPlan:
    named = {"network": "lenet5", "recipe": "lenet_short", "epochs": None} | fields
    return TrainPlan(data=str(data), **named)


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all((ours[name] == theirs[name]).all() for name in ours)


def spoil(data: Path, count: int) -> list[str]:
    """Make images unreadable; their names."""
    files = sorted(data.rglob("*.png"))[:: max(1, 60 // count)][:count]
    for file in files:
        file.write_bytes(b"no image")
    return [file.relative_to(data).as_posix() for file in files]


@pytest.mark.parametrize("count", [1, 3])
def test_unreadable_images_are_named_and_counted(data: Path, tmp_path: Path, count: int) -> None:
    names, out = spoil(data, count), tmp_path / "run"
    command = ["train", "lenet5", str(data), "--recipe", "lenet_short", "--epochs", "2", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = json.loads((out / "metrics.json").read_text())["data"]
    assert found["unreadable"] == count
    assert found["train"] + found["test"] == 60 - count
    assert sorted(name for row in found["issues"] for name in row["files"]) == names
    assert {row["kind"] for row in found["issues"]} == {"unreadable"}
    log = (out / "log.jsonl").read_text()
    for said in (log, done.stderr):
        assert f"{count} image{'' if count == 1 else 's'} left out" in said
        assert all(name in said for name in names)
    assert f"warning: {count} image" in done.stdout


def test_too_many_unreadable_images_stop_the_run(data: Path, tmp_path: Path) -> None:
    names = spoil(data, 15)
    with pytest.raises(DataError, match=r"of 60 images .* cannot be read") as caught:
        job.run(plan(data), out=tmp_path / "run", progress=NoProgress())
    assert "--max-unreadable" in (caught.value.hint or "")
    assert any(name in caught.value.message for name in names)
    runtime = RuntimeOptions(max_unreadable=0.3)
    assert (
        job.run(
            plan(data, epochs=1), out=tmp_path / "other", progress=NoProgress(), runtime=runtime
        ).record.data.unreadable
        == 15
    )
