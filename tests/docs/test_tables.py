"""The script that writes benchmark figures into the documentation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "tables.py"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _photos(seed: int, **changed: Any) -> dict[str, Any]:
    row = {"benchmark": "photos", "data": "flowers", "backbone": "mobilenet_v2", "seed": seed, "head": 0.7}
    row |= {"finetune": 0.8, "scratch": None, "chosen": "finetune", "test_top1": 0.75, "head_test_top1": 0.7}
    return row | {"seconds": 60.0} | changed


def test_only_the_newest_row_of_a_key_counts(tables: ModuleType) -> None:
    lines = [json.dumps(row) for row in (_photos(0), _photos(1), _photos(0, test_top1=0.95), {"benchmark": "other"})]
    rows = tables.newest(lines)["photos"]
    assert [row["seed"] for row in rows] == [0, 1]
    assert rows[0]["test_top1"] == 0.95


def test_photos_are_means_over_seeds(tables: ModuleType) -> None:
    table = tables.photos([_photos(0), _photos(1, finetune=0.9, scratch=0.3, chosen="head", test_top1=0.85)])
    row = table.splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["five flowers", "MobileNet v2", "70.0 %", "85.0 %", "30.0 % (1 of 2)"]
    assert cells[5] == "fine-tuning 1, head 1"
    assert cells[6] == "**80.0 %**"
    assert cells[-1] == "2"


def test_photos_have_a_row_for_each_network(tables: ModuleType) -> None:
    other = _photos(0, backbone="efficientnet_lite0", test_top1=0.95)
    lines = tables.photos([_photos(0), other, _photos(1)]).splitlines()[-2:]
    assert ["MobileNet v2" in line for line in lines] == [True, False]
    assert ["**75.0 %**" in lines[0], "**95.0 %**" in lines[1]] == [True, True]


def test_memory_is_compared_with_the_smallest(tables: ModuleType) -> None:
    rows = [{"backbone": "b", "images": n, "peak_mib": peak} for n, peak in ((20000, 600.0), (2000, 500.0))]
    assert tables.memory(rows).splitlines()[-2:] == [
        "| b | 2,000 | 500 MiB | **1.00** |",
        "| b | 20,000 | 600 MiB | **1.20** |",
    ]


def test_networks_have_a_row_each_and_a_dash_for_missing_results(tables: ModuleType) -> None:
    rows = [
        {"network": "a", "mode": "forward", "path": "contiguous", "ratio": 1.014, "low": 0.996, "high": 1.02},
        {"network": "a", "mode": "forward", "path": "OpenVINO, bf16", "ratio": 3.0, "low": 2.9, "high": 3.1},
        {"network": "b", "mode": "step", "path": "channels last", "ratio": 0.5, "low": 0.4, "high": 0.6},
    ]
    first, second = tables.networks(rows).splitlines()[2:]
    assert first == "| a | **1.01** (1.00 to 1.02) | - | - | - | - | - | - | **3.00** (2.90 to 3.10) |"
    assert second == "| b | - | - | - | **0.50** (0.40 to 0.60) | - | - | - | - |"


def test_train_step_has_a_row_per_setting_with_the_overhead_in_percent(tables: ModuleType) -> None:
    way = {
        "network": "a",
        "cut": "-",
        "precision": "bf16",
        "compiled": False,
        "tuned_baselines": False,
        "batch": 16,
        "side": 224,
        "per_s": 12.3,
    }
    rows = [
        {**way, "against": "plain", "ratio": 3.0, "low": 2.9, "high": 3.1},
        {**way, "against": "minimal", "ratio": 0.8, "low": 0.5, "high": 1.0},
        {**way, "cut": "stage4", "against": "plain", "ratio": 9.0, "low": 8.9, "high": 9.1},
        {**way, "tuned_baselines": True, "against": "plain", "ratio": 2.0, "low": 1.9, "high": 2.1},
    ]
    rows.append({**rows[0], "batch": 32, "ratio": 2.0})
    first, second, other = tables.train_step(rows).splitlines()[2:]
    assert other == "| a | - | bf16 | 32 x 224 px | 12 | **2.00** (2.90 to 3.10) | - | - |"
    assert first == "| a | - | bf16 | 16 x 224 px | 12 | **3.00** (2.90 to 3.10) | - | 25.0 % (0.0 to 100.0) |"
    assert second == "| a | up to stage4 | bf16 | 16 x 224 px | 12 | **9.00** (8.90 to 9.10) | - | - |"


def test_only_the_text_between_markers_changes(tables: ModuleType) -> None:
    text = "a\n<!-- table:x begin -->\nold\n<!-- table:x end -->\nb\n"
    assert tables.between(text, "x", "new") == text.replace("old", "new")
    with pytest.raises(SystemExit, match="markers"):
        tables.between("nothing", "x", "new")
