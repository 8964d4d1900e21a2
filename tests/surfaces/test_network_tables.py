"""The output and the charts of `show`, `models` and `bench`."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate.cli.app import app
from striate.jobs import show
from striate.models import REGISTRY
from striate.records.plans import ShowPlan
from striate.records.sizes import SizeRecord
from striate.report import figures
from striate.report.figures import Bubble
from striate.report.largest import counted, largest

SVG = "{http://www.w3.org/2000/svg}"


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def vgg16() -> SizeRecord:
    return show.run(ShowPlan(name="vgg16"))


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_largest_stage_and_layer(vgg16: SizeRecord) -> None:
    units, connections, weights = largest(vgg16)
    assert (units.stage, units.layer, units.total) == ("stem", "stem.conv1.conv", vgg16.totals.units)
    assert units.stage_fraction == pytest.approx(2 * 224 * 224 * 64 / vgg16.totals.units)
    assert (weights.stage, weights.total) == ("head", vgg16.totals.weights)
    assert weights.layer_fraction == pytest.approx(102760448 / 138344128)
    assert weights.conv_fraction == pytest.approx(1 - (102760448 + 16777216 + 4096000) / 138344128)
    assert connections.conv_fraction > 0.99


def test_show_prints_layers_and_stages() -> None:
    out = invoke("show", "vgg16").stdout
    for words in ("stem.conv1", "Stages", "Largest stage and layer", "102,764,544", "16 layers with weights", "553 MB"):
        assert words in out
    document = json.loads(invoke("show", "vgg16", "--json").stdout)
    assert [row["name"] for row in document["stages"]][-1] == "head"


def test_bar_heights_are_proportional(vgg16: SizeRecord) -> None:
    image = drawn(figures.layers(vgg16))
    bars = [bar for bar in image.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    layers = counted(vgg16)
    assert len(bars) == 3 * len(layers)
    heights = [float(bar.get("height", "")) for bar in bars[2 * len(layers) :]]  # the last panel is the weights
    fractions = [row.weights / vgg16.totals.weights for row in layers]
    assert heights == pytest.approx([130 * fraction / 0.8 for fraction in fractions], abs=0.06)
    assert {bar.get("class") for bar in bars} == {"conv", "linear"}


def test_bubble_areas_are_proportional_to_parameters() -> None:
    points = [
        Bubble(name="a", family="one", cost=1e9, top1=70.0, params=4),
        Bubble(name="b<c>", family="two", cost=4e9, top1=80.0, params=1),
    ]
    image = drawn(figures.bubbles(points, axis="cost", source="test"))
    large, small = image.iter(f"{SVG}circle")
    assert float(large.get("r", "")) == pytest.approx(2 * float(small.get("r", "")))
    assert float(large.get("cx", "")) < float(small.get("cx", ""))
    assert float(large.get("cy", "")) > float(small.get("cy", ""))
    assert "b<c>" in [text.text for text in image.iter(f"{SVG}text")]


def test_charts_load_nothing(vgg16: SizeRecord) -> None:
    for element in drawn(figures.layers(vgg16)).iter():
        assert not {"href", "src"} & {name.rpartition("}")[2] for name in element.attrib}
        assert not element.tag.endswith(("script", "image", "foreignObject"))


def test_plot_saves_a_chart(tmp_path: Path) -> None:
    for typed in (["show", "lenet5"], ["models"], ["models", "--family", "vgg"]):
        file = tmp_path / f"{'-'.join(typed)}.svg"
        result = invoke(*typed, "--plot", str(file))
        assert result.exit_code == 0
        assert f"chart: {file}" in result.stdout
        assert len(drawn(file.read_text())) > 5
    nothing = invoke("models", "--family", "mlp", "--plot", str(tmp_path / "none.svg"))
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert not (tmp_path / "none.svg").exists()


def test_models_shows_size_depth_and_published_accuracy() -> None:
    out = invoke("models").stdout
    row = next(line for line in out.splitlines() if line.startswith("resnet50 "))
    for cell in ("2015", "102 MB", "25.6 M", "107", "80.9 %", "95.4 %", "torchvision imagenet1k_v2"):
        assert cell in row
    rows = {each["name"]: each for each in json.loads(invoke("models", "--json").stdout)}
    assert rows["resnet50"]["published"]["top1"] == 80.858
    assert rows["plain20_cifar"]["published"] is None


def test_parameters_are_named_without_and_with_auxiliary_heads() -> None:
    words = " ".join(invoke("models", "--family", "googlenet").stdout.split())
    assert "googlenet has 13,004,888" in words
    assert "auxiliary" not in invoke("models", "--family", "resnet").stdout
    for name, without, together in (("googlenet", 6624904, 13004888), ("inception_v3", 23834568, 27161264)):
        out = " ".join(invoke("show", name).stdout.split())
        assert f"{without:,}, with the auxiliary heads {together:,}" in out
        totals = json.loads(invoke("show", name, "--json").stdout)["totals"]
        assert (totals["params"], totals["params"] + totals["aux_params"]) == (without, together)
        assert sum(each.numel() for each in REGISTRY.get(name).create().parameters()) == together


def test_bench_prints_a_table_and_json(tmp_path: Path) -> None:
    result = invoke("bench", "lenet5", "--batch", "1", "--device", "cpu")
    assert result.exit_code == 0
    assert "lenet5" in result.stdout
    (row,) = json.loads(invoke("bench", "lenet5", "--batch", "1", "--device", "cpu", "--json").stdout)
    assert row["name"] == "lenet5"
    assert row["forward_ms"] > 0
    assert invoke("bench", "lenet5", "--batch", "0").exit_code == 2


def test_bubble_labels_do_not_overlap() -> None:
    """Of thirty networks within one percent, the best is labelled, and every bubble has a tooltip."""
    points = [
        Bubble(name=f"network_{i}", family="f", cost=1e9 * (1 + 0.01 * i), top1=75 + 0.03 * i, params=10)
        for i in range(30)
    ]
    image = drawn(figures.bubbles(points, axis="cost", source="test"))
    titles = [(bubble.find(f"{SVG}title").text or "").partition(":")[0] for bubble in image.iter(f"{SVG}circle")]
    assert sorted(titles) == sorted(point.name for point in points)
    names = [text for text in image.iter(f"{SVG}text") if (text.text or "").startswith("network_")]
    assert "network_29" in [name.text for name in names]
    assert 1 < len(names) < 30
    corners = [(float(name.get("x", "")), float(name.get("y", ""))) for name in names]
    for i, (x, y) in enumerate(corners):
        assert all(abs(x - left) > 60 or abs(y - level) >= 10 for left, level in corners[:i])


def test_narrow_tables_keep_numbers_whole_and_name_the_hidden_columns() -> None:
    result = CliRunner().invoke(app, ["show", "resnet18"], env={"COLUMNS": "80"})
    lines = result.stdout.splitlines()
    row = next(line for line in lines if line.startswith("stage2.unit1.residual.conv2.conv"))
    assert row.split() == ["stage2.unit1.residual.conv2.conv", "128x28x28", "147,456", "115,605,504", "67x67"]
    assert "Not shown in 80 columns: type, units, output stride. --wide shows all columns." in lines
    assert max(len(line) for line in lines if "─" in line) <= 80


def test_the_pareto_line_joins_the_networks_that_no_other_one_beats() -> None:
    facts = {"cheap": (1, 60.0), "beaten": (2, 59.0), "middle": (3, 70.0), "as good": (4, 70.0), "best": (9, 80.0)}
    points = [Bubble(name=name, family="f", cost=c, top1=t, params=1) for name, (c, t) in facts.items()]
    assert [point.name for point in figures.pareto(points)] == ["cheap", "middle", "best"]
    image = drawn(figures.bubbles(points, axis="cost", source="test"))
    line = next(line for line in image.iter(f"{SVG}polyline") if line.get("class") == "pareto")
    assert len((line.get("points") or "").split()) == 3


def test_families_have_colours_of_their_own_and_stand_in_the_legend() -> None:
    points = [Bubble(name=f"n{i}", family=f"family{i // 2}", cost=10**i, top1=50 + i, params=1) for i in range(12)]
    image = drawn(figures.bubbles(points, axis="cost", source="test"))
    kinds = [str(circle.get("class")) for circle in image.iter(f"{SVG}circle")]
    assert len(set(kinds)) == 6
    assert {f"family{i}" for i in range(6)} <= {text.text for text in image.iter(f"{SVG}text")}


@pytest.mark.parametrize("name", ["zoo.png", "zoo.pdf", "zoo"])
@pytest.mark.parametrize("command", [["models"], ["show", "lenet5"], ["bench", "lenet5"]])
def test_a_chart_in_another_format_is_refused_before_any_work(tmp_path: Path, name: str, command: list[str]) -> None:
    result = invoke(*command, "--plot", str(tmp_path / name))
    assert result.exit_code == 2
    assert ".svg" in result.stderr
    assert not list(tmp_path.iterdir())
