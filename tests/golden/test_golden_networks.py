"""Our networks against what other implementations and papers count."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.core.meta import shapes_only
from striate.jobs import zoo
from striate.models import REGISTRY
from striate.records import zoo as table
from striate.sizing import measure

HERE = Path(__file__).parent
NETWORKS = tomllib.loads((HERE / "networks.toml").read_text())
LISTED = {row.name: row for row in table.rows()}
FIELDS = tomllib.loads((HERE / "receptive_fields.toml").read_text())["field"]


def test_every_network_has_a_golden_row() -> None:
    assert list(LISTED) == [entry.name for entry in zoo.in_order()], "run `make zoo`"
    assert set(REGISTRY) - {"mlp"} == set(NETWORKS)


@pytest.mark.parametrize("name", REGISTRY)
def test_params_macs_and_stages(name: str) -> None:
    entry = REGISTRY.get(name)
    with shapes_only():
        model = entry.create()
        model.eval()
        maps = model.forward_stages(torch.empty(1, *entry.input))
    measured = [
        (key, m.shape[1], -(-entry.input[1] // m.shape[2]) if entry.family == "mlp" else None)
        for key, m in maps.items()
    ]
    record = measure(model, entry.input)
    totals = record.totals
    assert zoo.row(entry, model, totals) == LISTED[name], "run `make zoo`"
    for info, (key, channels, reduction) in zip(model.stage_table, measured, strict=True):
        assert (info.name, info.channels) == (key, channels)
        assert reduction in (None, info.reduction)
    if name == "mlp":
        assert sum(p.numel() for p in model.parameters()) == 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
        return
    golden = NETWORKS[name]
    assert [row.name for row in record.layers if row.receptive_field is None] == []
    assert list(entry.input) == golden["input"]
    stored = sum(parameter.numel() for name, parameter in model.named_parameters() if not name.startswith("aux."))
    assert totals.params == golden["params"] == stored
    assert totals.macs == golden["macs"]
    stages = [[info.channels, info.reduction] for info in model.stage_table]
    assert stages[: len(golden.get("stages", []))] == golden.get("stages", [])


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row["network"])
def test_receptive_fields(row: dict[str, Any]) -> None:
    entry = REGISTRY.get(row["network"])
    with shapes_only():
        model = entry.create(options=row.get("options"))
    totals = measure(model, entry.input).totals
    assert totals.receptive_field == (row["size"], row["size"])
    assert totals.stride == (row["stride"], row["stride"])


def test_vgg16_layer_by_layer() -> None:
    """Weights and floats of the table that a well-known course prints; its total of floats is wrong there."""
    with shapes_only():
        model = REGISTRY.get("vgg16").create()
    record = measure(model, (3, 224, 224))
    layers = [row for row in record.layers if row.type in ("conv", "linear")]
    thousands = [1.728, 36.864, 73.728, 147.456, 294.912, 589.824, 589.824, 1179.648, *[2359.296] * 5]
    assert [row.weights for row in layers] == [round(1000 * k) for k in thousands] + [102760448, 16777216, 4096000]
    assert record.totals.weights == 138344128
    assert record.totals.activation_bytes == 4 * 15237608  # not "24M * 4 bytes"


def test_the_neurons_of_the_alexnet_paper() -> None:
    """Section 3.5 says 650,000 neurons: the convolutions alone have 650,080, all layers up to the output 659,272."""
    with shapes_only():
        model = REGISTRY.get("alexnet_2012").create()
    record = measure(model, (3, 227, 227))
    assert sum(row.units for row in record.layers if row.type == "conv") == 650080
    assert record.totals.units == 659272
    assert record.totals.weights == 60954656
    first = record.layers[0]
    assert first.params == 34944
    assert (first.receptive_field, first.stride) == ((11, 11), (4, 4))


def test_units_and_connections_of_alexnets_first_layer() -> None:
    """Units are W H N over the output, connections W H K^2 M N."""
    with shapes_only():
        model = REGISTRY.get("alexnet").create()
    first = measure(model, (3, 224, 224)).layers[0]
    assert (first.name, first.type, first.input, first.output) == ("stem.conv1", "conv", (3, 224, 224), (64, 55, 55))
    assert (first.units, first.weights, first.params) == (55 * 55 * 64, 11 * 11 * 3 * 64, 11 * 11 * 3 * 64 + 64)
    assert first.connections == first.macs == 55 * 55 * 11 * 11 * 3 * 64
    assert (first.receptive_field, first.stride) == ((11, 11), (4, 4))
