"""``striate check --augment``: a sheet of images as a recipe varies them."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawings import draw
from striate.core.errors import PlanError, UnknownModelError
from striate.jobs import check
from striate.records.io import dumps, to_json
from striate.records.plans import CheckPlan, PreviewPlan
from striate.report.sheet import Row, sheet


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw(tmp_path / "data", 6, colour=True)


@pytest.mark.parametrize(("recipe", "network"), [("modern", "resnet20_cifar"), ("lenet_short", "lenet5")])
def test_a_sheet_is_drawn_beside_the_audit(data: Path, tmp_path: Path, recipe: str, network: str) -> None:
    out = tmp_path / "sheet.png"
    plan = PreviewPlan(recipe=recipe, network=network, out=str(out))
    found = check.run(CheckPlan(data=str(data), preview=plan))
    assert found.augmented == str(out)
    assert json.loads(dumps(found))["images"] == 18
    before = out.read_bytes()
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert image.width > 8 * 128
        assert image.height > 9 * 128
    check.run(CheckPlan(data=str(data), preview=plan))
    assert out.read_bytes() == before
    check.run(CheckPlan(data=str(data), preview=dataclasses.replace(plan, seed=1)))
    assert out.read_bytes() != before


def test_without_a_network_images_keep_their_size_and_the_file_is_named_after_both(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = check.run(CheckPlan(data=str(data), preview=PreviewPlan(recipe="cifar_short", passes=2)))
    assert found.augmented == "data-cifar_short.png"
    assert (tmp_path / "data-cifar_short.png").is_file()
    assert "augmented" not in to_json(check.run(CheckPlan(data=str(data))))


def test_an_unknown_recipe_or_network_is_named_before_anything_is_decoded(data: Path) -> None:
    with pytest.raises(PlanError, match="modren"):
        check.run(CheckPlan(data=str(data / "not there"), preview=PreviewPlan(recipe="modren")))
    with pytest.raises(UnknownModelError, match="resnet21"):
        check.run(CheckPlan(data=str(data / "not there"), preview=PreviewPlan(recipe="modern", network="resnet21")))


def test_unaugmented_images_are_drawn_unchanged() -> None:
    """Small ones are enlarged by whole factors, and none covers another."""
    colours = [(200, 30, 30), (30, 160, 30), (30, 30, 200)]
    flat = [np.full((32, 48, 3), colour, np.uint8) for colour in colours]
    file = sheet("title", ["a line"], [Row(label="x" * 300, original=flat[0], augmented=flat[1:])])
    with Image.open(io.BytesIO(file)) as image:
        pixels = np.asarray(image)
    for colour in colours:
        where = np.argwhere((pixels == colour).all(-1))
        (top, left), (bottom, right) = where.min(0), where.max(0)
        assert (bottom - top + 1, right - left + 1) == (96, 144)
        assert len(where) == 96 * 144


def test_the_labels_of_a_mixed_image_are_written_below_it() -> None:
    flat = np.full((128, 128, 1), 90, np.uint8)
    bare, told = (
        sheet("title", [], [Row(label="x", original=flat, augmented=[flat], captions=captions)])
        for captions in ([], [["70 % rose", "30 % tulip"]])
    )
    heights = [Image.open(io.BytesIO(file)).height for file in (bare, told)]
    assert heights[1] == heights[0] + 40
