"""A run's folder belongs to one process at a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from striate.core.errors import PlanError
from striate.jobs import run_folder
from striate.records.plans import TrainPlan

PLAN = TrainPlan(network="lenet5", data="mnist")
HOLD = """
import sys
from pathlib import Path
from striate.jobs import run_folder
from striate.records.plans import TrainPlan
run_folder.claim("train", TrainPlan(network="lenet5", data="mnist"), Path(sys.argv[1]))
print("mine", flush=True)
sys.stdin.read()
"""


def test_two_processes_cannot_share_a_folder_and_a_dead_one_leaves_it_free(tmp_path) -> None:
    where = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(where)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(PlanError, match="another process is at work"):
            run_folder.claim("train", PLAN, where)
        other.kill()
    assert run_folder.claim("train", PLAN, where).state == "unfinished"
    assert run_folder.claim("train", PLAN, where).state == "unfinished"  # this process again, before its work ends
