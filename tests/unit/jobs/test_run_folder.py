"""A run's folder belongs to one job at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from striate.core.errors import PlanError
from striate.data.index import scan
from striate.data.labels import class_column
from striate.jobs import run_folder
from striate.records import io
from striate.records.plans import TrainPlan

PLAN = TrainPlan(network="lenet5", data="mnist")
HOLD = """
import sys
from pathlib import Path
from striate.jobs import run_folder
from striate.records.plans import TrainPlan
with run_folder.claim("train", TrainPlan(network="lenet5", data="mnist"), Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_run_is_no_class_of_the_images_around_it(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    with run_folder.claim("train", PLAN, tmp_path / "runs/pets-1") as claim:
        (claim.folder / "roc.png").write_bytes(b"x")
        assert list(scan(tmp_path).names) == ["cat/1.png", "dog/1.png"]  # while it is at work
    run_folder.LogFile(claim.folder / run_folder.LOG).record("end", {})
    run_folder.finish(claim.folder)
    index = scan(tmp_path)
    assert class_column(index).values == ("cat", "dog")
    assert (list(index.names), index.skipped) == (["cat/1.png", "dog/1.png"], {})


def test_two_processes_cannot_share_a_folder_and_a_dead_one_leaves_it_free(tmp_path) -> None:
    where = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(where)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(PlanError, match="another job is at work"), run_folder.claim("train", PLAN, where):
            pass
        other.kill()
    with run_folder.claim("train", PLAN, where) as claim:
        assert claim.state == "unfinished"
        with pytest.raises(PlanError, match="another job is at work"), run_folder.claim("train", PLAN, where):
            pass  # nor can two jobs of one process
    with run_folder.claim("train", PLAN, where) as claim:
        assert claim.state == "unfinished"


def test_a_wrong_plan_leaves_no_fresh_folder(tmp_path) -> None:
    where = tmp_path / "run"
    with pytest.raises(PlanError, match="wrong"), run_folder.claim("train", PLAN, where):
        raise PlanError("wrong")
    assert not where.exists()


def test_jobs_without_a_folder_get_one_each(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_folder.reserved(None, "my photos") as one, run_folder.reserved(None, "my photos") as other:
        assert (one, other) == (Path("runs/my-photos-1"), Path("runs/my-photos-2"))
        (other / "plan.json").write_text("{}")
    assert (one.exists(), other.exists()) == (False, True)


def test_only_the_job_that_holds_the_folder_writes_its_plan(tmp_path, monkeypatch) -> None:
    where, other, refused = tmp_path / "run", TrainPlan(network="lenet5", data="digits"), []
    write = io.write

    def interrupted(path, value) -> None:  # another plan claims the folder before this one's is written
        if not refused:
            with pytest.raises(PlanError, match="another job is at work") as caught, claim_of(other, where):
                pass
            refused.append(caught)
        write(path, value)

    monkeypatch.setattr(io, "write", interrupted)
    with claim_of(PLAN, where):
        assert run_folder.planned(where)["plan"]["data"] == "mnist"
    assert refused


def claim_of(plan: TrainPlan, where: Path):
    return run_folder.claim("train", plan, where)


def test_a_claim_that_was_killed_before_its_plan_leaves_a_fresh_folder(tmp_path) -> None:
    work = tmp_path / "run" / run_folder.WORK
    work.mkdir(parents=True)
    (work / run_folder.LOCK).touch()
    with claim_of(PLAN, tmp_path / "run") as claim:
        assert claim.state == "fresh"
