"""What benchmarks make of their clock."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("turns")


def test_a_drift_that_hits_both_leaves_the_ratio(turns: ModuleType) -> None:
    drift = np.linspace(1.0, 3.0, 21)
    row = turns.compared(0.2 * drift, 0.1 * drift)
    assert (row["ratio"], row["low"], row["high"]) == (2.0, 2.0, 2.0)
    assert (row["peer_ms"], row["ms"]) == (400.0, 200.0)


def test_the_interval_holds_the_median_and_shrinks_with_rounds(turns: ModuleType) -> None:
    noise = np.random.default_rng(1).lognormal(0.0, 0.2, 400)
    few, many = (turns.compared(noise[:n], np.ones(n)) for n in (20, 400))
    for row in (few, many):
        assert row["low"] < row["ratio"] < row["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_rounds_turn_their_order_and_the_first_does_not_count(turns: ModuleType) -> None:
    ran: list[str] = []
    now = iter(range(100))

    def clock() -> float:
        return float(next(now))

    named = {"peer": lambda: ran.append("p"), "ours": lambda: ran.append("o")}
    seconds = turns.rounds({who: turns.clocked(turn, clock) for who, turn in named.items()}, 3)
    assert "".join(ran) == "op" + "po" + "op" + "po"
    assert {name: each.tolist() for name, each in seconds.items()} == {"peer": [1.0] * 3, "ours": [1.0] * 3}


def test_a_peer_apart_takes_the_turns_that_are_named_and_times_them_itself(turns: ModuleType) -> None:
    named = [("once", partial(sum, range(200_000))), ("twice", partial(sum, range(400_000)))]
    with turns.apart(dict, named, threads=1, cpu_time=True, keep_memory=False) as found:
        assert list(found) == ["once", "twice"]
        once, twice = (np.median([found[name]() for _ in range(9)]) for name in found)
    assert 0 < once < twice
