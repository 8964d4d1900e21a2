"""What the benchmark of networks makes of its clock."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "networks.py"


@pytest.fixture(scope="module")
def networks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_networks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_drift_that_hits_both_leaves_the_ratio(networks: ModuleType) -> None:
    drift = np.linspace(1.0, 3.0, 21)
    row = networks.compared(0.2 * drift, 0.1 * drift)
    assert (row["ratio"], row["low"], row["high"]) == (2.0, 2.0, 2.0)
    assert (row["peer_ms"], row["ms"]) == (400.0, 200.0)


def test_the_interval_holds_the_median_and_shrinks_with_rounds(networks: ModuleType) -> None:
    noise = np.random.default_rng(1).lognormal(0.0, 0.2, 400)
    few, many = (networks.compared(noise[:n], np.ones(n)) for n in (20, 400))
    for row in (few, many):
        assert row["low"] < row["ratio"] < row["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_rounds_turn_their_order_and_the_first_does_not_count(networks: ModuleType) -> None:
    ran: list[str] = []
    seconds = networks.rounds({"peer": lambda: ran.append("p"), "ours": lambda: ran.append("o")}, 3)
    assert "".join(ran) == "op" + "po" + "op" + "po"
    assert {name: len(each) for name, each in seconds.items()} == {"peer": 3, "ours": 3}
