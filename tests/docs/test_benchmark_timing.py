"""The interleaved timing of the benchmarks."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("timing")


def test_a_common_drift_does_not_change_the_ratio(timing: ModuleType) -> None:
    drift = np.linspace(1.0, 3.0, 21)
    row = timing.compare(0.2 * drift, 0.1 * drift)
    assert (row["ratio"], row["low"], row["high"]) == (2.0, 2.0, 2.0)
    assert (row["reference_ms"], row["ms"]) == (400.0, 200.0)


def test_interval_contains_the_median_and_narrows_with_more_rounds(timing: ModuleType) -> None:
    noise = np.random.default_rng(1).lognormal(0.0, 0.2, 400)
    few, many = (timing.compare(noise[:n], np.ones(n)) for n in (20, 400))
    for row in (few, many):
        assert row["low"] < row["ratio"] < row["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_order_reverses_every_round_and_the_first_round_does_not_count(timing: ModuleType) -> None:
    ran: list[str] = []
    now = iter(range(100))

    def clock() -> float:
        return float(next(now))

    named = {"reference": lambda: ran.append("r"), "ours": lambda: ran.append("o")}
    seconds = timing.interleave({who: timing.timed(work, clock) for who, work in named.items()}, 3)
    assert "".join(ran) == "or" + "ro" + "or" + "ro"
    assert {name: each.tolist() for name, each in seconds.items()} == {"reference": [1.0] * 3, "ours": [1.0] * 3}


def test_in_subprocess_times_the_work_in_the_other_process(timing: ModuleType) -> None:
    named = [("once", partial(sum, range(200_000))), ("twice", partial(sum, range(400_000)))]
    with timing.in_subprocess(dict, named, threads=1, cpu_time=True, keep_memory=False) as found:
        assert list(found) == ["once", "twice"]
        once, twice = (np.median([found[name]() for _ in range(9)]) for name in found)
    assert 0 < once < twice
