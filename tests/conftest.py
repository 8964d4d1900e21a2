"""What tests share."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path

import pytest

_HOMES = count()
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores, so none spreads over several
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's `&` leaves it, and every child would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and real weights; tests that need it skip where it is missing."""
    named = os.environ.get("STRIATE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder}; set STRIATE_TEST_DATA")
    return folder


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, and none reaches for the network."""
    # a name alone: most tests keep nothing, and making thousands of numbered folders takes seconds
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path_factory.getbasetemp() / f"home{next(_HOMES)}"))
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    monkeypatch.delenv("STRIATE_WEIGHTS", raising=False)
