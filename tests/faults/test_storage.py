"""Disks that are full and places that cannot be written: a clear error, exit 1, and nothing lost or spoilt."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from drawings import draw
from striate.cli.app import app
from striate.core.errors import StorageError
from striate.core.events import NoProgress
from striate.jobs import fit
from striate.records.plans import FitPlan


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("storage") / "images", 12)


def mount(folder: Path, options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    mount(folder, "size=64k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def cli(images: Path, out: Path) -> Result:
    command = ["fit", str(images), "--backbone", "lenet5", "--engine", "torch", "--no-scratch", "--budget", "1s"]
    return CliRunner().invoke(app, [*command, "--out", str(out)])


def refused(result: Result, message: str) -> bool:
    lines = result.stderr.splitlines()
    return result.exit_code == 1 and "Traceback" not in result.stderr and any(message in line for line in lines)


def test_a_full_disk_under_the_run_and_then_a_larger_one(images: Path, disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(52 * 1024))
    result = cli(images, disk / "run")
    assert refused(result, "no space is left on the device"), result.output
    assert "hint: free some space" in result.stderr
    assert not (disk / "run/metrics.json").exists()
    assert not list(disk.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    assert cli(images, disk / "run").exit_code == 0
    assert json.loads((disk / "run/metrics.json").read_text())["test"]["n"] > 0


def test_a_full_disk_under_the_cache(images: Path, disk: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("STRIATE_HOME", str(disk / "home"))
    (disk / "ballast").write_bytes(bytes(56 * 1024))
    result = cli(images, tmp_path / "run")
    assert refused(result, "no space is left on the device"), result.output
    (disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    assert cli(images, tmp_path / "run").exit_code == 0


def test_a_read_only_place(images: Path, tmp_path: Path, monkeypatch) -> None:
    mount(tmp_path / "disk", "size=64k,ro")
    try:
        result = cli(images, tmp_path / "disk/run")
        assert refused(result, f"cannot write {tmp_path / 'disk/run'}: the file system is read-only"), result.output
        monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "disk/home"))
        result = cli(images, tmp_path / "run")
        assert refused(result, "the file system is read-only"), result.output
        assert not (tmp_path / "run").exists()
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_place_below_a_file(images: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = cli(images, tmp_path / "notes.txt/run")
    assert refused(result, "part of the path is a file"), result.output
    result = cli(images, tmp_path / "notes.txt")
    assert refused(result, "holds no run"), result.output
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("writes", [0, 3, 7, 12, 18])
def test_a_disk_that_fills_up_at_any_moment(images: Path, tmp_path: Path, monkeypatch, writes: int) -> None:
    """After so many writes that reached the disk every other one fails; then there is space again."""
    plan = FitPlan(data=str(images), backbone="lenet5", engine="torch", work_s=0.003, scratch=False)
    sync, done = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal done
        done += 1
        if done > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="no space is left"):
            fit.run(plan, out=out, progress=NoProgress())
    assert not (out / "metrics.json").exists()
    assert not list(out.glob(".*.part"))
    record = fit.run(plan, out=out, progress=NoProgress()).record
    whole = fit.run(plan, out=tmp_path / "whole", progress=NoProgress()).record
    assert record.test == whole.test
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
