"""Damaged files: every reader reads them or refuses them with an error of ours, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of memory need Unix")

from fuzz_readers import READERS

from fuzz import changed, run


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", READERS)
def test_2000_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    counts, wrong = run(name, 100 if READERS[name].slow else 2000, 0, tmp_path)
    assert counts is not None, wrong
    assert counts["read"]
    assert counts["refused"]


@pytest.mark.parametrize("name", ["zip", pytest.param("card", marks=pytest.mark.slow)])
def test_a_few_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    counts, wrong = run(name, 60, 1, tmp_path)
    assert counts is not None, wrong
    assert counts["refused"]


BROKEN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import fuzz, fuzz_readers
fuzz_readers.READERS["broken"] = fuzz_readers.Reader(
    "broken", "f", lambda: [b"valid"], lambda folder: 1 / ((folder / "f").read_bytes() == b"valid")
)
fuzz.fuzz("broken", 50, 0, Path(sys.argv[2]))
"""


def test_an_exception_of_another_kind_is_found(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BROKEN, str(Path(__file__).parent), str(tmp_path / "case")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert (tmp_path / "case" / "f").exists()


def test_changes_stay_small_and_never_fail() -> None:
    kinds = ["bit", "byte", "number", "word", "cut", "repeat", "drop", "end", "swap"]
    for content in (b"", b"a", bytes(range(200))):
        for kind in kinds:
            assert len(changed(content, [(kind, 0.5, 0.9, 255)])) <= len(content) + 256
    assert changed(b"abcd", [("bit", 0.5, 0.0, 0)]) == b"abbd"
