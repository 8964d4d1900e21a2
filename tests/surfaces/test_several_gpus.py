"""Whoever trains on one GPU of several is told the command for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate.cli.app import app
from striate.cli.train import on_every_gpu
from striate.core import device
from striate.records.recipes import Recipe

WORDS = ["train", "resnet50", "my photos", "--recipe", "modern"]


def test_the_line_starts_as_many_processes_as_share_the_groups() -> None:
    assert on_every_gpu(Recipe(batch=1024, micro_batch=64), 1, WORDS, named=True) is None
    for here, processes in ((4, 4), (6, 2)):
        said = on_every_gpu(Recipe(batch=1024, micro_batch=64), here, WORDS, named=False)
        assert said is not None
        line = f"torchrun --nproc-per-node {processes} -m striate train resnet50 'my photos' --recipe modern"
        assert said.endswith(f"{line} --out DIR")
        assert said.startswith(f"this machine has {here} GPUs and this run uses one")
    said = on_every_gpu(Recipe(batch=1024, micro_batch=64), 4, WORDS, named=True)
    assert said is not None
    assert said.endswith("--recipe modern")


def test_a_recipe_of_one_group_says_why_not() -> None:
    said = on_every_gpu(Recipe(batch=128), 8, WORDS, named=True)
    assert said is not None
    assert said.endswith("1 micro-batch of 128 images per step cannot be distributed over 8 GPUs; use --micro-batch 16")
    said = on_every_gpu(Recipe(batch=130), 8, WORDS, named=True)
    assert said is not None
    assert said.endswith("cannot be distributed over 8 GPUs")


@pytest.mark.parametrize(("launcher", "words"), [(None, 1), ("1", 1), ("2", 0)])
def test_it_is_said_once_and_not_under_a_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str | None, words: int
) -> None:
    monkeypatch.setattr(device, "gpus", lambda: 4)
    if launcher is not None:
        monkeypatch.setenv("WORLD_SIZE", launcher)
    # there are no images, so that nothing more is done
    command = ["train", "resnet20_cifar", str(tmp_path / "none"), "--recipe", "modern", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.stderr.count("this machine has 4 GPUs") == words
