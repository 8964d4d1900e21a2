"""Training on one of several GPUs prints the command that uses all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate.cli.app import app
from striate.cli.train import on_every_gpu
from striate.core import device
from striate.records.recipes import Recipe

WORDS = ["train", "resnet50", "my photos", "--recipe", "modern"]


def test_command_starts_one_process_per_set_of_micro_batches() -> None:
    assert on_every_gpu(Recipe(batch=1024, micro_batch=64), 1, WORDS, named=True) is None
    for here, processes in ((4, 4), (6, 2)):
        hint = on_every_gpu(Recipe(batch=1024, micro_batch=64), here, WORDS, named=False)
        assert hint is not None
        line = f"torchrun --nproc-per-node {processes} -m striate train resnet50 'my photos' --recipe modern"
        assert hint.endswith(f"{line} --out DIR")
        assert hint.startswith(f"this machine has {here} GPUs and this run uses one")
    hint = on_every_gpu(Recipe(batch=1024, micro_batch=64), 4, WORDS, named=True)
    assert hint is not None
    assert hint.endswith("--recipe modern")


def test_one_micro_batch_cannot_be_distributed() -> None:
    hint = on_every_gpu(Recipe(batch=128), 8, WORDS, named=True)
    assert hint is not None
    assert hint.endswith("1 micro-batch of 128 images per step cannot be distributed over 8 GPUs; use --micro-batch 16")
    hint = on_every_gpu(Recipe(batch=130), 8, WORDS, named=True)
    assert hint is not None
    assert hint.endswith("cannot be distributed over 8 GPUs")


@pytest.mark.parametrize(("launcher", "words"), [(None, 1), ("1", 1), ("2", 0)])
def test_hint_is_printed_once_and_not_under_a_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str | None, words: int
) -> None:
    monkeypatch.setattr(device, "gpu_count", lambda: 4)
    if launcher is not None:
        monkeypatch.setenv("WORLD_SIZE", launcher)
    # the data does not exist, so the command stops early
    command = ["train", "resnet20_cifar", str(tmp_path / "none"), "--recipe", "modern", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.stderr.count("this machine has 4 GPUs") == words
