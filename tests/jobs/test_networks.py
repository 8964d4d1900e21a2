"""Listing networks and saying what they cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from striate.core.errors import InputShapeError, PlanError, UnknownModelError
from striate.jobs import models, show, zoo
from striate.models import REGISTRY
from striate.records import zoo as table
from striate.records.io import to_json


def test_the_shipped_table_is_what_the_networks_say() -> None:
    shipped, made = {row.name: row for row in table.rows()}, {row.name: row for row in zoo.build().networks}
    assert list(shipped) == list(made), "run `make zoo`"
    for name, row in made.items():
        assert shipped[name] == row, "run `make zoo`"


def test_listing_networks_needs_no_torch() -> None:
    code = "import sys; from striate.jobs import models; models.run(None, True); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_row_has_what_the_contract_names() -> None:
    rows = models.run()
    assert {row["name"] for row in rows} == set(REGISTRY)
    for row in rows:
        promised = {"name", "family", "year", "paper", "input", "params", "macs", "units", "stages", "weights"}
        assert promised <= set(row)
        assert row["stages"][0] == "stem"
    assert [row["year"] for row in rows] == sorted(row["year"] for row in rows)


def test_a_family_can_be_asked_for() -> None:
    rows = models.run("cifar_resnet", weights=True)
    assert len(rows) == 10
    assert {row["family"] for row in rows} == {"cifar_resnet"}
    tags = {row["name"]: [each["tag"] for each in row["weights"]] for row in rows}
    assert tags["resnet20_cifar"]
    assert not tags["plain110_cifar"]
    assert tags == {row["name"]: row["weights"] for row in models.run("cifar_resnet")}
    with pytest.raises(UnknownModelError, match="did you mean vgg"):
        models.run("vggs")


def test_networks_are_found_by_alias_and_near_misses_are_offered() -> None:
    assert table.find("mobilenetv2_100").name == "mobilenet_v2"
    with pytest.raises(UnknownModelError, match="resnet50"):
        table.find("resnet5O")


def test_show_answers_for_another_input_and_other_classes() -> None:
    record = show.run("mobilenetv2_100", (4, 160, 128), 7)
    assert (record.name, record.input, record.classes) == ("mobilenet_v2", (4, 160, 128), 7)
    assert record.layers[-1].output == (7,)
    assert record.totals.stride == (32, 32)
    document = to_json(record)
    assert set(document) == {"name", "input", "classes", "totals", "layers"}
    assert document["totals"]["receptive_field"] == [491, 491]


def test_show_says_what_a_network_cannot_take() -> None:
    with pytest.raises(InputShapeError, match="below 32"):
        show.run("vgg16", (3, 31, 64))
    with pytest.raises(InputShapeError, match="above 28"):
        show.run("mlp", (1, 32, 32))
    with pytest.raises(PlanError, match="at least 1 channel"):
        show.run("vgg16", (0, 64, 64))
    with pytest.raises(PlanError, match="1 class"):
        show.run("vgg16", classes=0)
