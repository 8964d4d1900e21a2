"""Listing networks and saying what they cost."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.core.meta import shapes_only
from striate.jobs import models, show
from striate.models import REGISTRY
from striate.records import zoo as table
from striate.records.io import to_json
from striate.records.plans import ModelsPlan, ShowPlan


def test_listing_networks_needs_no_torch() -> None:
    code = """
import sys
from striate.jobs import models
from striate.records.plans import ModelsPlan
models.run(ModelsPlan(weights=True))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_show_does_not_load_the_compiler() -> None:
    """PyTorch loads it at its first random draw on the meta device, and for the shapes of some operations: 1.5 s.

    Its algebra of shapes alone takes a third of a second.
    """
    code = """
import sys
from striate.jobs import show
from striate.records.plans import ShowPlan
for heavy, names in (("sympy", "resnet50 vgg16 mobilenet_v2 googlenet"),
                     ("torch._dynamo", "xception efficientnet_b0 convnext_tiny")):
    for name in names.split():
        show.run(ShowPlan(name=name))
        assert heavy not in sys.modules, f"{name} loads {heavy}"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("name", REGISTRY)
def test_every_network_is_built_without_values_in_no_time(name: str) -> None:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        with shapes_only():
            REGISTRY.get(name).create()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.3


def test_a_network_of_shapes_only_is_the_network() -> None:
    with shapes_only():
        bare = REGISTRY.get("resnet18").create()
    whole = REGISTRY.get("resnet18").create().state_dict()
    assert {name: tensor.shape for name, tensor in bare.state_dict().items()} == {n: t.shape for n, t in whole.items()}
    assert all(tensor.is_meta for tensor in bare.state_dict().values())
    assert torch.rand(2).device.type == "cpu"


def test_depth_and_file_size_are_of_what_is_stored() -> None:
    """Depth as Keras counts it: 53 convolutions, 53 normalisations, one dense layer."""
    totals = show.run(ShowPlan(name="resnet50")).totals
    stored = REGISTRY.get("resnet50").create().state_dict().values()
    assert totals.depth == 53 + 53 + 1
    assert totals.file_bytes == sum(tensor.nbytes for tensor in stored)


def test_stages_add_up_to_the_totals() -> None:
    record = show.run(ShowPlan(name="mobilenet_v2"))
    assert [row.name for row in record.stages] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    for field in ("weights", "units", "connections", "macs"):
        assert sum(getattr(row, field) for row in record.stages) == getattr(record.totals, field)
    assert sum(row.layers for row in record.stages) == len(record.layers)
    assert record.stages[-1].output == (1000,)


def test_every_row_has_what_the_contract_names() -> None:
    rows = to_json(models.run(ModelsPlan()))
    assert {row["name"] for row in rows} == set(REGISTRY)
    for row in rows:
        promised = {"name", "family", "year", "paper", "input", "params", "macs", "units", "stages", "weights"}
        assert promised <= set(row)
        assert row["stages"][0] == "stem"
    assert [row["year"] for row in rows] == sorted(row["year"] for row in rows)


def test_a_family_can_be_asked_for() -> None:
    rows = to_json(models.run(ModelsPlan(family="cifar_resnet", weights=True)))
    assert len(rows) == 10
    assert {row["family"] for row in rows} == {"cifar_resnet"}
    tags = {row["name"]: [each["tag"] for each in row["weights"]] for row in rows}
    assert tags["resnet20_cifar"]
    assert not tags["plain110_cifar"]
    assert tags == {row.name: list(row.weights) for row in models.run(ModelsPlan(family="cifar_resnet"))}
    with pytest.raises(UnknownModelError, match="did you mean vgg"):
        models.run(ModelsPlan(family="vggs"))


def test_networks_are_found_by_alias_and_near_misses_are_offered() -> None:
    assert table.find("mobilenetv2_100").name == "mobilenet_v2"
    with pytest.raises(UnknownModelError, match="resnet50"):
        table.find("resnet5O")


def test_show_works_for_another_input_and_other_classes() -> None:
    record = show.run(ShowPlan(name="mobilenetv2_100", input=(4, 160, 128), classes=7))
    assert (record.name, record.input, record.classes) == ("mobilenet_v2", (4, 160, 128), 7)
    assert record.layers[-1].output == (7,)
    assert record.totals.stride == (32, 32)
    document = to_json(record)
    assert set(document) == {"name", "input", "classes", "totals", "stages", "layers", "note", "memory"}
    assert document["totals"]["receptive_field"] == [491, 491]


def test_show_says_what_a_network_cannot_take() -> None:
    with pytest.raises(InputShapeError, match="below 32"):
        show.run(ShowPlan(name="vgg16", input=(3, 31, 64)))
    with pytest.raises(InputShapeError, match="above 28"):
        show.run(ShowPlan(name="mlp", input=(1, 32, 32)))
    with pytest.raises(PlanError, match="channels, height and width must be at least 1"):
        show.run(ShowPlan(name="vgg16", input=(0, 64, 64)))
    with pytest.raises(PlanError, match="classes must be a whole number from 1"):
        show.run(ShowPlan(name="vgg16", classes=0))
