"""Folders from environment variables, on machines that know nothing of the user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from striate.core import paths
from striate.core.errors import PlanError

NOBODY = """
import os, pwd
def unknown(*names): raise KeyError(names)
pwd.getpwuid = pwd.getpwnam = unknown
"""


@pytest.fixture(autouse=True)
def own_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(paths.tempfile, "tempdir", str(place))
    monkeypatch.delenv("STRIATE_HOME", raising=False)
    paths._temporary_home.cache_clear()
    return place


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Root may write everywhere, so what cannot be written is made up."""
    allowed = os.access
    monkeypatch.setattr(paths.os, "access", lambda path, mode: Path(path) != folder and allowed(path, mode))


def test_the_named_folder_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "named"))
    assert paths.home() == tmp_path / "named"


@pytest.mark.parametrize("answer", [Path("~/.cache/striate"), RuntimeError("could not determine the home directory")])
def test_without_a_home_folder_a_private_temporary_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, own_temporary_files: Path, answer, caplog: pytest.LogCaptureFixture
) -> None:
    def cache_folder(name: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(paths.platformdirs, "user_cache_dir", cache_folder)
    found = paths.home()
    assert found.parent == own_temporary_files
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert paths.home() == found
    (said,) = caplog.records
    assert str(found) in said.getMessage()


def test_a_temporary_folder_that_others_can_write_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, own_temporary_files: Path
) -> None:
    monkeypatch.setattr(paths, "_default_home", lambda: None)
    theirs = own_temporary_files / f"striate-{os.getuid()}"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    assert paths.home() != theirs
    paths._temporary_home.cache_clear()
    theirs.rmdir()
    theirs.symlink_to(own_temporary_files)
    assert paths.home() != theirs


def test_a_read_only_home_is_read_and_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cached = tmp_path / "home/striate"
    (cached / "weights").mkdir(parents=True)
    monkeypatch.setattr(paths, "_default_home", lambda: cached)
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    assert (paths.home(), paths.weight_folders()) == (cached, [tmp_path])
    refuse(monkeypatch, cached)
    assert paths.home() != cached
    assert paths.weight_folders() == [tmp_path, cached / "weights"]


def test_an_unknown_home_folder_in_a_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_HOME", "~nobody_of_that_name/x")
    with pytest.raises(PlanError, match="STRIATE_HOME is '~nobody_of_that_name/x'"):
        paths.home()
    monkeypatch.setenv("STRIATE_WEIGHTS", "~nobody_of_that_name/x")
    with pytest.raises(PlanError, match="STRIATE_WEIGHTS"):
        paths.weight_folders()


def test_libraries_find_a_home_folder(tmp_path: Path) -> None:
    code = NOBODY + "from striate.core import paths; paths.name_home(); from pathlib import Path; print(Path.home())"
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "STRIATE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path
