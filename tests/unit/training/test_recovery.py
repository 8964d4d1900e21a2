"""Batches that do not fit into memory are run in smaller groups; what ran is kept with a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.core.device import free_bytes, native_bf16, ran_out_of_memory
from striate.core.errors import OutOfMemoryError
from striate.core.events import NoProgress
from striate.core.memory import available_bytes
from striate.records.recipes import Recipe
from striate.records.results import MicroBatch
from striate.tasks.classify.loss import CrossEntropy
from striate.training import loop
from striate.training.batches import Layout
from striate.training.options import Hooks, Saving, TrainingOptions

train = partial(loop.train, loss=nn.CrossEntropyLoss())
PLAN = Recipe(lr=0.05, batch=16, epochs=3)


class Points:
    """Sixty-four points in eight dimensions, three classes."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        self.y = self.x[:, :3].argmax(1)
        self.stop_at = stop_at

    def __len__(self) -> int:
        return 64

    def batch(self, samples: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        if self.stop_at is not None:
            self.stop_at -= 1
            if self.stop_at < 0:
                raise KeyboardInterrupt
        return self.x[samples], self.y[samples]


class Recorded(NoProgress):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.events: dict[str, Mapping[str, Any]] = {}

    def note(self, message: str, **facts: Any) -> None:
        self.notes.append(message)

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        self.events[event] = facts


class Narrow(nn.Module):
    """Memory runs out above so many images, from the given call on."""

    def __init__(self, most: int, error: Exception, after: int = 0) -> None:
        super().__init__()
        self.most, self.error, self.calls = most, error, -after

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > 0 and len(x) > self.most:
            raise self.error
        return x


def network(*more: nn.Module, norm: bool = False) -> nn.Module:
    torch.manual_seed(1)
    parts = [nn.Linear(8, 16), *([nn.BatchNorm1d(16)] if norm else []), nn.ReLU(), nn.Linear(16, 3)]
    return nn.Sequential(*more, *parts)


def weights(module: nn.Module) -> list[Tensor]:
    return list(module.parameters())


FULL = torch.OutOfMemoryError("CUDA out of memory")


def test_a_micro_batch_is_halved_within_the_batch_and_across_processes() -> None:
    def sizes(batch: int, samples: int, world: int = 1) -> list[int]:
        layout: Layout | None = Layout(
            samples=samples, batch=batch, micro_batch=min(batch, samples), seed=0, world=world
        )
        found = []
        while layout is not None:
            found.append(layout.micro_batch)
            assert layout.micro_batches * layout.micro_batch == min(batch, samples)
            assert layout.micro_batches % world == 0 or layout.micro_batch == min(batch, samples)
            layout = layout.smaller()
        return found

    assert sizes(128, 1000) == [128, 64, 32, 16, 8, 4, 2, 1]
    assert sizes(96, 1000) == [96, 48, 24, 12, 6, 3, 1]
    assert sizes(128, 60) == [60, 30, 15, 6, 3, 1]
    assert sizes(24, 1000, world=3) == [24, 8, 4, 2, 1]


@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.2, 1.0, 3.0])])
def test_smaller_micro_batches_change_only_the_order_of_sums(class_weights: Tensor | None) -> None:
    whole, parts, heard = network(), network(), Recorded()
    loss = CrossEntropy(class_weights=class_weights)
    one = train(whole, Points(), PLAN, TrainingOptions(seed=0), loss=loss)
    other = train(
        parts, Points(), PLAN, TrainingOptions(seed=0, max_micro_batch=5), hooks=Hooks(progress=heard), loss=loss
    )
    assert (one.micro_batches, other.micro_batches) == (
        (MicroBatch(step=0, images=16),),
        (MicroBatch(step=0, images=4),),
    )
    assert heard.notes == ["16 images at a time do not fit into memory; using 4 micro-batches of 4 images per step"]
    for a, b in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_note_says_that_statistics_are_of_smaller_micro_batches() -> None:
    heard = Recorded()
    done = train(
        network(norm=True), Points(), PLAN, TrainingOptions(seed=0, max_micro_batch=1), hooks=Hooks(progress=heard)
    )
    assert done.micro_batches == (MicroBatch(step=0, images=2),)
    assert heard.notes[0].endswith(
        "8 micro-batches of 2 images per step; batch-norm statistics are those of a micro-batch"
    )


@pytest.mark.parametrize("error", [FULL, RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")])
def test_running_out_of_memory_halves_micro_batches_and_resumes(tmp_path: Path, error: Exception) -> None:
    whole, parts, heard = network(), network(Narrow(4, error, after=6)), Recorded()
    train(whole, Points(), PLAN, TrainingOptions(seed=0))
    done = train(
        parts,
        Points(),
        PLAN,
        TrainingOptions(seed=0),
        saving=Saving(file=tmp_path / "state", every_s=0),
        hooks=Hooks(progress=heard),
    )
    assert done.micro_batches == tuple(MicroBatch(step=step, images=n) for step, n in ((0, 16), (6, 8), (6, 4)))
    assert heard.notes[0].startswith(
        "memory ran out at 16 images at a time; training went back to step 6 and continues with 2 micro-batches"
    )
    assert heard.events["regrouped"]["micro_batch"] == 4
    for a, b in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_run_that_never_fits_into_memory_ends(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError, match="at 1 images at a time, after step 0"):
        train(network(Narrow(0, FULL)), Points(), PLAN, TrainingOptions(seed=0), saving=Saving(file=tmp_path / "state"))
    with pytest.raises(OutOfMemoryError, match="at 16 images"):  # no state to go back to
        train(network(Narrow(4, FULL)), Points(), PLAN, TrainingOptions(seed=0))
    with pytest.raises(RuntimeError, match="shapes differ"):
        broken = network(Narrow(4, RuntimeError("shapes differ")))
        train(broken, Points(), PLAN, TrainingOptions(seed=0), saving=Saving(file=tmp_path / "other"))


def test_a_run_resumes_with_the_micro_batch_and_the_precision_it_began_with(tmp_path: Path) -> None:
    whole, again = network(norm=True), network(norm=True)
    straight = train(whole, Points(), PLAN, TrainingOptions(seed=0, max_micro_batch=8, precision="bf16"))
    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        first = network(norm=True)
        train(
            first,
            Points(11),
            PLAN,
            TrainingOptions(seed=0, max_micro_batch=8, precision="bf16"),
            saving=Saving(file=path, every_s=0),
        )
    resumed = train(
        again, Points(), PLAN, TrainingOptions(seed=0, max_micro_batch=2, precision="float32"), saving=Saving(file=path)
    )
    assert resumed.resumed_at == 5
    assert (resumed.micro_batches, resumed.precision) == (straight.micro_batches, "bf16")
    assert resumed.micro_batches == (MicroBatch(step=0, images=8),)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_class_weights_act_the_same_in_any_micro_batch() -> None:
    objective = CrossEntropy(class_weights=torch.tensor([0.5, 2.0]), label_smoothing=0.1)
    logits, labels = torch.randn(6, 2), torch.tensor([0, 0, 0, 1, 1, 0])
    parts = [objective(logits[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(objective(logits, labels), torch.stack(parts).mean())


def test_free_memory_is_the_least_of_the_system_and_the_container(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable:     500 kB\n")
    assert available_bytes(tmp_path) == 500 * 1024
    micro_batch = tmp_path / "sys/fs/cgroup"
    micro_batch.mkdir(parents=True)
    (micro_batch / "memory.current").write_text("3000\n")
    (micro_batch / "memory.stat").write_text("anon 10\ninactive_file 1000\n")
    (micro_batch / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) == 500 * 1024
    (micro_batch / "memory.max").write_text("10000\n")
    assert available_bytes(tmp_path) == 8000


def test_devices_report_their_capabilities() -> None:
    assert native_bf16(torch.device("meta")) is False
    assert free_bytes(torch.device("meta")) is None
    assert not ran_out_of_memory(ValueError("DefaultCPUAllocator"))
    assert ran_out_of_memory(MemoryError())
