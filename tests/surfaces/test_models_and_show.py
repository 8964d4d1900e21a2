"""``striate models`` and ``striate show`` for every network of the registry."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner

from striate.cli.app import app
from striate.core.meta import shapes_only
from striate.models import REGISTRY, entries

TOTALS = ("params", "weights", "units", "connections", "macs", "activation_bytes")
SUMS = ("weights", "units", "connections", "macs")
FIRST = {entry.family: entry.name for entry in reversed(list(entries()))}
NETWORKS = [pytest.param(name, marks=() if name in FIRST.values() else pytest.mark.slow) for name in REGISTRY]
"""The first network of each family by default; tests/golden checks the numbers of all networks."""
LARGE = (
    "nasnet_mobile",
    "inception_resnet_v2",
    "stochastic_depth_resnet110",
    "efficientnet_b0",
    "xception",
    "densenet121",
)
SOME = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in FIRST.values()]
LAYER = {"name", "type", "input", "output", "params", "weights", "units", "connections", "macs"}


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def shown(*arguments: str) -> dict[str, Any]:
    result = invoke("show", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@cache
def listed() -> dict[str, dict[str, Any]]:
    result = invoke("models", "--json")
    assert result.exit_code == 0, result.stderr
    return {row["name"]: row for row in json.loads(result.stdout)}


def check_document(document: dict[str, Any], name: str, shape: tuple[int, ...], classes: int) -> None:
    """Check the promised fields of the document, and that its numbers agree."""
    assert {"name", "input", "classes", "totals", "layers"} <= set(document)
    assert (document["name"], document["input"], document["classes"]) == (name, list(shape), classes)
    totals, layers = document["totals"], document["layers"]
    for key in TOTALS:
        assert isinstance(totals[key], int), key
        assert totals[key] > 0, key
    for key in ("receptive_field", "stride"):
        assert len(totals[key]) == 2, key
    assert all({*LAYER, "receptive_field", "stride"} <= set(layer) for layer in layers)
    for key in SUMS:
        assert sum(layer[key] for layer in layers) == totals[key], key
    assert math.prod(layers[0]["input"]) >= math.prod(shape)  # flattened in an MLP, padded in some other networks
    assert layers[-1]["output"][0] == classes
    assert totals["connections"] >= totals["weights"]


def test_models_lists_every_network_with_the_promised_fields():
    assert set(listed()) == set(REGISTRY)
    assert [row["year"] for row in listed().values()] == sorted(row["year"] for row in listed().values())
    keys = {"name", "family", "year", "paper", "input", "params", "macs", "units", "stages", "weights", "task"}
    for name, row in listed().items():
        entry = REGISTRY.get(name)
        assert keys <= set(row), name
        assert row["input"] == list(entry.input)
        assert row["year"] == entry.paper.year
        assert str(row["year"]) in row["paper"]
        assert row["stages"][0] == "stem"
        assert row["task"] == entry.task
        assert len(set(row["weights"])) == len(row["weights"])


@pytest.mark.parametrize("name", NETWORKS)
def test_show_at_the_native_size_agrees_with_models(name: str):
    entry, row = REGISTRY.get(name), listed()[name]
    document = shown(name)
    check_document(document, name, entry.input, entry.classes)
    assert {key: document["totals"][key] for key in ("params", "macs", "units")} == {
        key: row[key] for key in ("params", "macs", "units")
    }


@pytest.mark.parametrize("name", SOME)
def test_show_at_other_sizes(name: str):
    """At the minimum size, and on larger non-square images with one channel and two classes."""
    entry = REGISTRY.get(name)
    with shapes_only():
        model = entry.create()
    channels = entry.input[0]
    if model.max_side is not None:
        refused = invoke("show", name, "--input", f"{channels}x{model.max_side + 1}x{model.max_side}")
        assert refused.exit_code == 1
        assert f"above {model.max_side}" in refused.stderr
        return
    side = model.min_side
    least = shown(name, "--input", f"{channels}x{side}x{side}")
    check_document(least, name, (channels, side, side), entry.classes)
    height, width = entry.input[1] + 17 * model.side_step, entry.input[2] + 66 * model.side_step
    larger = shown(name, "--input", f"1x{height}x{width}", "--classes", "2")
    check_document(larger, name, (1, height, width), 2)
    assert larger["totals"]["units"] > least["totals"]["units"]
    assert larger["totals"]["receptive_field"] == least["totals"]["receptive_field"]


def test_show_accepts_aliases():
    for row in listed().values():
        for alias in row["aliases"]:
            assert REGISTRY.get(alias).name == row["name"]
    aliased = next(row for row in listed().values() if row["aliases"])
    assert shown(aliased["aliases"][0])["name"] == aliased["name"]
