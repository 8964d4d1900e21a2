"""Times on this machine, and the published table of Keras Applications beside our own count."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from striate.cli.app import app
from striate.core.errors import PlanError, UnknownModelError
from striate.jobs import bench, keras_table
from striate.models import REGISTRY
from striate.records import zoo
from striate.records.io import to_json
from striate.records.plans import BenchPlan

KERAS = {  # totals that Keras 3.15.1 prints for its own networks
    "Xception": 22910480, "VGG16": 138357544, "VGG19": 143667240, "ResNet50": 25636712, "ResNet50V2": 25613800,
    "ResNet101": 44707176, "ResNet101V2": 44675560, "ResNet152": 60419944, "ResNet152V2": 60380648,
    "InceptionV3": 23851784, "InceptionResNetV2": 55873736, "MobileNet": 4253864, "MobileNetV2": 3538984,
    "DenseNet121": 8062504, "DenseNet169": 14307880, "DenseNet201": 20242984, "NASNetMobile": 5326716,
    "NASNetLarge": 88949818, "EfficientNetB0": 5330571, "EfficientNetB1": 7856239, "EfficientNetB2": 9177569,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[keras_table.KerasRow]:
    return keras_table.run()


class Recorded:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int | None]] = []
        self.steps: list[int] = []

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.phases.append((name, total))

    def step(self, done: int) -> None:
        self.steps.append(done)

    def note(self, message: str, **facts: object) -> None: ...

    def record(self, event: str, facts: object) -> None: ...


def test_bench_times_both_steps_and_says_what_the_contract_names() -> None:
    heard = Recorded()
    rows = bench.run(BenchPlan(names=("lenet5", "mlp"), device="cpu", batch=2, seconds=0.0), progress=heard)
    assert (heard.phases, heard.steps) == ([("timing", 2)], [1, 2])
    for row, name in zip(rows, ("lenet5", "mlp"), strict=True):
        assert {"name", "device", "batch", "forward_ms", "step_ms", "images_per_s"} <= set(to_json(row))
        assert (row.name, row.device, row.batch) == (name, "cpu", 2)
        assert 0 < row.forward_interval_ms[0] <= row.forward_ms <= row.forward_interval_ms[1]
        assert row.step_ms > 0
        assert row.images_per_s == pytest.approx(2000 / row.forward_ms)
        assert row.top1 is None  # of MNIST, if at all, and the chart is of ImageNet


def test_without_names_every_family_is_there_once_by_its_lightest() -> None:
    rows = bench.lightest()
    families = {row.family for row in zoo.rows() if row.task == "classify"}
    assert [row.family for row in rows] == list(dict.fromkeys(row.family for row in rows))
    assert {row.family for row in rows} == families
    assert next(row for row in rows if row.family == "resnet").name == "resnet18"


def test_bench_rejects_invalid_arguments() -> None:
    with pytest.raises(UnknownModelError):
        bench.run(BenchPlan(names=("lenet6",), device="cpu"))
    with pytest.raises(PlanError, match="batch must be at least 1"):
        BenchPlan(names=("lenet5",), batch=0)


def test_the_table_holds_the_21_networks_and_says_which_are_missing(rows: list[keras_table.KerasRow]) -> None:
    assert [row.published.keras for row in rows if row.published.keras not in KERAS] == []
    assert len({row.published.keras for row in rows}) == 21
    for row in rows:
        if row.published.network in REGISTRY:
            assert row.params == KERAS[row.published.keras]
        else:
            assert "no network called" in row.wrong[0]


def test_only_one_printed_figure_does_not_follow_from_the_networks(rows: list[keras_table.KerasRow]) -> None:
    """Files hold more than their tensors, but not 9 MB more."""
    wrong = {row.published.keras: row.wrong for row in rows if row.params is not None and row.wrong}
    assert set(wrong) <= {"EfficientNetB0"}
    for each in wrong.values():
        assert each == ("29 MB are printed, 5,330,571 numbers of 4 bytes are 20.3 MiB",)
    assert ("EfficientNetB0" in wrong) == ("efficientnet_b0" in REGISTRY)


def test_the_command_prints_every_row(rows: list[keras_table.KerasRow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_table, "run", lambda: rows)
    out = CliRunner().invoke(app, ["models", "--table", "keras"], env={"COLUMNS": "200"}).stdout
    assert "138,357,544" in out
    assert "rows agree with the networks" in out
    assert len(json.loads(CliRunner().invoke(app, ["models", "--table", "keras", "--json"]).stdout)) == 21


def test_a_wrong_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = keras_table.Published(
        keras="VGG16", network="vgg16", size_mb=500, top1=71.3, top5=90.1, params_m=138.3, depth=23
    )
    monkeypatch.setattr(keras_table, "published", lambda: (printed,))
    (row,) = keras_table.run()
    assert [each.partition(",")[0] for each in row.wrong] == [
        "138.3 M parameters are printed",
        "a depth of 23 is printed",
        "500 MB are printed",
    ]
