"""Several processes train as one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("rank.py")

pytestmark = pytest.mark.slow


def launched(world: int, out: Path, network: str, micro_batch: int, steps: int) -> dict[str, Any]:
    """What the first of `world` processes found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(world):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        own = {key: str(value) for key, value in names.items()} if world > 1 else {}
        command = [sys.executable, str(SCRIPT), network, str(micro_batch), str(steps), str(out)]
        processes.append(subprocess.Popen(command, env=os.environ | own))
    assert [process.wait(timeout=500) for process in processes] == [0] * world
    return torch.load(out)


def test_lenet_has_the_same_loss_on_two_processes(tmp_path) -> None:
    one, two = (launched(world, tmp_path / f"{world}.pt", "lenet5", 32, 50) for world in (1, 2))
    assert len(one["losses"]) == 7
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert [number for part in two["counted"] for number in part] == list(range(101))  # in evaluation, every image once


def test_statistics_are_per_micro_batch_and_not_per_process(tmp_path) -> None:
    one, two = (launched(world, tmp_path / f"{world}.pt", "resnet20_cifar", 16, 12) for world in (1, 2))
    whole = launched(1, tmp_path / "whole.pt", "resnet20_cifar", 64, 12)
    for name, tensor in one["state"].items():
        torch.testing.assert_close(two["state"][name], tensor, rtol=1e-9, atol=1e-12)
    gaps = {name: apart(whole["state"][name], tensor) for name, tensor in one["state"].items()}
    assert max(gaps.values()) > 0.01, gaps  # and the group is part of the recipe


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The greatest difference, over the greatest size."""
    return float((one - other).abs().max() / other.abs().max())
