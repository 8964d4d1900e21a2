"""The main job end to end, on drawn images and the bundled LeNet-5: what it writes, and that all of it agrees."""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import striate
from drawings import draw
from striate.cli.app import app
from striate.core.errors import DataError, PlanError, UnknownModelError
from striate.core.events import NoProgress
from striate.data.decode import decode
from striate.jobs import evaluate, fit
from striate.records.plans import EvalPlan, FitPlan
from striate.transfer import policy
from striate.transfer.budget import Budget
from striate.transfer.context import TransferContext
from striate.transfer.probe import ProbeResult
from striate.weights import create_model, save_state, trained

CLASSES = ("<script>", "disc", "stairs")
PLAN = FitPlan(backbone="lenet5", engine="torch", work_s=0.06)
HEAD_ALONE = dataclasses.replace(PLAN, work_s=1e-5, scratch=False)


def plan_of(data: Path, like: FitPlan = HEAD_ALONE, **changes: Any) -> FitPlan:
    return dataclasses.replace(like, data=str(data), **changes)


def fitted(data: Path, out: Path, like: FitPlan = HEAD_ALONE, **changes: Any) -> dict[str, Any]:
    """A run's `metrics.json`."""
    fit.run(plan_of(data, like, **changes), out=out, progress=NoProgress())
    return json.loads((out / "metrics.json").read_text())


def without_seconds(document: Any) -> Any:
    """The document less everything under a key that begins with ``seconds``."""
    if isinstance(document, dict):
        return {k: without_seconds(v) for k, v in document.items() if not k.startswith("seconds")}
    return [without_seconds(v) for v in document] if isinstance(document, list) else document


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file()
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the module's runs, and a cache of their own."""
    folder = tmp_path_factory.mktemp("fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(folder / "home"))
        patch.setenv("STRIATE_OFFLINE", "1")
        yield folder


@pytest.fixture(scope="module")
def images(place: Path) -> Path:
    return draw(place / "images", classes=CLASSES)


@pytest.fixture(scope="module")
def run(place: Path, images: Path) -> Path:
    """The one run that most tests look at."""
    fit.run(plan_of(images, PLAN), out=place / "run", progress=NoProgress())
    return place / "run"


@pytest.fixture(scope="module")
def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


@pytest.fixture(scope="module")
def predictions(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


# ---------------------------------------------------------------------- what is written


def test_the_run_folder_holds_what_is_promised_and_nothing_else(run: Path) -> None:
    promised = {"model.safetensors", "model.json", "metrics.json", "predictions.csv", "report.html", "log.jsonl"}
    assert {f.name for f in run.iterdir()} == promised | {"plan.json", "images.npy", "figures"}
    assert (run / "report.html").stat().st_size < 5_000_000


def test_metrics_hold_what_is_promised(metrics: dict[str, Any]) -> None:
    score = {"top1", "top5", "ece", "loss", "n", "balanced_accuracy", "macro_f1", "top1_interval", "per_class"}
    assert score <= set(metrics["test"])
    assert score <= set(metrics["validation"])
    assert {"backbone", "weights", "strategy", "reused_stages", "reason"} <= set(metrics["chosen"])
    for row in metrics["candidates"]:
        assert {"strategy", "reused_stages", "validation", "seconds"} <= set(row)
    done = {row["strategy"] for row in metrics["candidates"] if row["status"] == "done"}
    assert done == {"head", "finetune", "scratch"}
    assert metrics["data"]["classes"] == list(CLASSES)
    assert metrics["data"]["train"] + metrics["data"]["validation"] + metrics["data"]["test"] == 75
    assert metrics["test"]["n"] == metrics["data"]["test"]
    assert metrics["seconds"]["total"] > 0
    assert metrics["seed"] == 0
    assert {"striate", "torch", "python"} <= set(metrics["versions"])
    assert [layer["stage"] for layer in metrics["depth"]] == ["stem", "stage1", "stage2", "head.f6"]
    assert metrics["engine"]["cosine"] > 0.999


def test_the_chosen_candidate_is_the_best_on_validation(metrics: dict[str, Any]) -> None:
    done = [row for row in metrics["candidates"] if row["validation"]]
    chosen = max(done, key=lambda row: (row["validation"]["top1"], -row["validation"]["loss"]))
    assert metrics["chosen"]["strategy"] == chosen["strategy"]
    assert metrics["validation"] == chosen["validation"]


def test_predictions_cover_the_test_images_once_and_agree_with_the_metrics(
    images: Path, metrics: dict[str, Any], predictions: list[dict[str, str]]
) -> None:
    assert list(predictions[0]) == ["file", "label", "prediction", "probability"]
    assert len({row["file"] for row in predictions}) == len(predictions) == metrics["test"]["n"]
    for row in predictions:
        assert (images / row["file"]).is_file()
        assert row["file"].split("/")[0] == row["label"]
    right = [row["label"] == row["prediction"] for row in predictions]
    assert np.mean(right) == pytest.approx(metrics["test"]["top1"])
    confusion = np.zeros((3, 3), dtype=int)
    for row in predictions:
        confusion[CLASSES.index(row["label"]), CLASSES.index(row["prediction"])] += 1
    assert confusion.tolist() == metrics["test"]["confusion"]
    recalls = [confusion[i, i] / confusion[i].sum() for i in range(3)]
    assert metrics["test"]["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_the_saved_model_gives_the_same_predictions(run: Path, images: Path, predictions: list[dict[str, str]]) -> None:
    classifier = striate.load(run)
    for row in predictions:
        best = classifier.predict(images / row["file"], top=1)[0]
        assert best["label"] == row["prediction"]
        assert best["probability"] == pytest.approx(float(row["probability"]), abs=2e-5)


def test_eval_of_the_run_on_the_same_images_agrees(
    run: Path, images: Path, tmp_path: Path, metrics: dict[str, Any], predictions: list[dict[str, str]]
) -> None:
    for row in predictions:
        (tmp_path / row["label"]).mkdir(exist_ok=True)
        shutil.copy(images / row["file"], tmp_path / row["file"])
    score = evaluate.run(EvalPlan(model=str(run), data=str(tmp_path)), progress=NoProgress())
    assert score.n == metrics["test"]["n"]
    assert [list(row) for row in score.confusion] == metrics["test"]["confusion"]
    for name in ("top1", "top5", "balanced_accuracy", "macro_f1"):
        assert getattr(score, name) == pytest.approx(metrics["test"][name])
    for name in ("ece", "loss"):
        assert getattr(score, name) == pytest.approx(metrics["test"][name], abs=1e-4)


def test_a_class_named_like_markup_stays_text(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<td><script>" not in page.replace('"', "")


def test_the_log_is_whole_documents(run: Path) -> None:
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["run", "finished"]
    assert {"phase", "note", "features", "epoch", "candidate"} <= {each["event"] for each in events}
    assert all(later["at_s"] >= earlier["at_s"] for earlier, later in pairwise(events))


# ---------------------------------------------------------------------- the same command again


@pytest.mark.parametrize("cache", ["warm", "fresh"])
def test_the_same_plan_gives_the_same_numbers(
    run: Path, images: Path, metrics: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    home = run.parent / "home" if cache == "warm" else tmp_path / "home"
    monkeypatch.setenv("STRIATE_HOME", str(home))
    again = fitted(images, tmp_path / "again", PLAN)
    assert without_seconds(again) == without_seconds(metrics)
    assert (tmp_path / "again/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    assert (tmp_path / "again/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    events = [json.loads(line) for line in (tmp_path / "again/log.jsonl").read_text().splitlines()]
    found = next(each for each in events if each["event"] == "features")
    assert (found["found"] > 0, found["computed"] > 0) == ((cache == "warm"), (cache == "fresh"))


def test_a_finished_run_is_returned_and_nothing_is_computed(run: Path, images: Path) -> None:
    before = contents(run)
    outcome = fit.run(plan_of(images, PLAN), out=run, progress=NoProgress())
    assert outcome.finished_before
    assert outcome.record.test.n == len((run / "predictions.csv").read_text().splitlines()) - 1
    assert contents(run) == before


def test_another_plan_is_refused_and_the_run_stays(run: Path, images: Path) -> None:
    before = contents(run)
    with pytest.raises(PlanError, match="another plan, differing in seed"):
        fit.run(plan_of(images, PLAN, seed=1), out=run, progress=NoProgress())
    result = CliRunner().invoke(app, ["fit", str(images), "--backbone", "lenet5", "--out", str(run)])
    assert result.exit_code == 1
    assert "another plan" in result.stderr
    assert "--out" in result.stderr
    assert contents(run) == before


def test_a_folder_of_other_files_is_refused(images: Path) -> None:
    before = contents(images)
    with pytest.raises(PlanError, match="holds no run"):
        fit.run(plan_of(images), out=images, progress=NoProgress())
    assert contents(images) == before


def test_a_mistake_in_the_plan_leaves_no_folder(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for slip, error in (
        ({"backbone": "lenet6"}, UnknownModelError),
        ({"device": "gpu"}, PlanError),
        ({"data": str(tmp_path)}, DataError),
    ):
        with pytest.raises(error):
            fit.run(dataclasses.replace(plan_of(images), **slip), out=out, progress=NoProgress())
        assert not out.exists()
    assert fitted(images, out)["chosen"]["backbone"] == "lenet5"


@final
class Stopper:
    """A listener that interrupts when it has been called so many times."""

    def __init__(self, calls: float) -> None:
        self.left = calls

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        self._count()

    def step(self, done: int) -> None:
        self._count()

    def note(self, message: str, **facts: Any) -> None:
        self._count()

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_an_interrupt_at_any_call_changes_no_number(place: Path, tmp_path: Path, monkeypatch) -> None:
    data = draw(place / "many", 110)
    plan = dataclasses.replace(plan_of(data, PLAN, scratch=False), work_s=0.1)
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "other"))
    fit.run(plan, out=tmp_path / "whole", progress=NoProgress())
    whole = json.loads((tmp_path / "whole/metrics.json").read_text())

    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "home"))
    outcome, calls, stops = None, 12.0, 0
    while outcome is None:
        try:
            outcome = fit.run(plan, out=tmp_path / "run", progress=Stopper(calls))
        except KeyboardInterrupt:
            calls, stops = 1.5 * calls, stops + 1
    assert outcome.resumed
    assert stops >= 4
    assert {row["strategy"] for row in whole["candidates"] if row["status"] == "done"} == {"head", "finetune"}
    assert without_seconds(json.loads((tmp_path / "run/metrics.json").read_text())) == without_seconds(whole)
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


# ---------------------------------------------------------------------- plans


def test_labelled_images_can_be_few(images: Path, metrics: dict[str, Any], tmp_path: Path) -> None:
    few = fitted(images, tmp_path / "few", per_class=4)
    assert (few["data"]["train"], few["data"]["validation"]) == (9, 3)
    assert few["data"]["test"] == metrics["data"]["test"]
    assert few["data"]["unused"] == 75 - 12 - few["data"]["test"]
    for counts in few["data"]["counts"].values():
        assert (counts["train"], counts["validation"]) == (3, 1)


def test_a_budget_too_small_skips_candidates_and_still_ends(images: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["fit", str(images), "--backbone", "lenet5", "--budget", "0.01s", "--out", str(tmp_path / "out"), "--json"],
    )
    assert result.exit_code == 0, result.stderr
    assert "a budget of 0.0 s is too short" in result.stderr
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "out/metrics.json").read_text())
    statuses = {row["strategy"]: row["status"] for row in document["candidates"]}
    assert statuses == {"head": "done", "finetune": "skipped", "scratch": "skipped"}
    for row in document["candidates"]:
        if row["status"] == "skipped":
            assert "budget" in row["reason"]
            assert row["validation"] is None
    assert document["chosen"]["strategy"] == "head"


# ---------------------------------------------------------------------- images


def spoil(folder: Path, count: int) -> set[str]:
    """Cut the last `count` images short, each to other bytes."""
    spoilt = set()
    for path in sorted(folder.rglob("*.png"))[::-1][:count]:
        path.write_bytes(path.read_bytes()[:60] + b"%d" % len(spoilt))
        spoilt.add(str(path.relative_to(folder)))
    return spoilt


def test_few_unreadable_images_are_left_out_and_named(tmp_path: Path) -> None:
    spoilt = spoil(draw(tmp_path / "data", 20), 3)  # of 60: 5 %, which is not more
    found = fitted(tmp_path / "data", tmp_path / "out")
    issues = [each for each in found["data"]["issues"] if each["kind"] == "unreadable"]
    assert {file for each in issues for file in each["files"]} == spoilt
    assert found["data"]["train"] + found["data"]["validation"] + found["data"]["test"] == 57
    assert found["data"]["test"] == found["test"]["n"]
    assert not spoilt & set((tmp_path / "out/predictions.csv").read_text().split(","))
    notes = [json.loads(line).get("message", "") for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert any(re.match(r"3 images left out \(.*3 of 20 .\w+.\): .*\.png", note) for note in notes)


def test_images_in_a_format_that_is_not_read_count_as_unreadable(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", 20)
    for path in sorted(data.rglob("*.png"))[:6]:
        path.write_bytes(b"8BPS" + path.read_bytes())
        path.rename(path.with_suffix(".psd"))
    with pytest.raises(DataError, match=r"6 of 60 images .* cannot be read") as caught:
        fit.run(plan_of(data), out=tmp_path / "out", progress=NoProgress())
    assert re.search(r"6 of 20 '\w+' are a Photoshop file", caught.value.message)


def test_many_unreadable_images_stop_the_run_with_the_list(tmp_path: Path) -> None:
    data, out = draw(tmp_path / "data", 20), tmp_path / "out"
    spoilt = spoil(data, 4)
    with pytest.raises(DataError, match=r"4 of 60 images .* cannot be read") as caught:
        fit.run(plan_of(data), out=out, progress=NoProgress())
    assert all(name in caught.value.message for name in spoilt)
    assert "--max-unreadable" in (caught.value.hint or "")
    assert not out.exists()
    allowed = fitted(data, out, max_unreadable=0.07)  # as the hint says, into the same folder
    assert sum(allowed["data"][part] for part in ("train", "validation", "test")) == 56


def test_unequal_classes_give_a_warning(tmp_path: Path) -> None:
    found = fitted(draw(tmp_path / "data", (60, 25, 11)), tmp_path / "out")
    assert "imbalance" in {each["kind"] for each in found["data"]["issues"]}
    assert {"balanced_accuracy", "macro_f1"} <= set(found["test"])


def test_split_folders_are_kept(tmp_path: Path) -> None:
    for part, count, first in (("train", 12, 0), ("val", 5, 50), ("test", 7, 80)):
        draw(tmp_path / "data" / part, count, first=first)
    found = fitted(tmp_path / "data", tmp_path / "out")
    assert [found["data"][part] for part in ("train", "validation", "test")] == [36, 15, 21]
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()[1:]
    assert all(row.startswith("test/") for row in rows)


def test_a_manifest_with_groups_splits_no_group(tmp_path: Path) -> None:
    files = sorted(draw(tmp_path / "data").rglob("*.png"))
    group = {file: f"{file.parent.name}-{int(file.stem) % 8}" for file in files}
    rows = [f"{file.relative_to(tmp_path)},={file.parent.name},{group[file]}" for file in files]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    found = fitted(tmp_path / "list.csv", tmp_path / "out")
    tested = {line.split(",")[0] for line in (tmp_path / "out/predictions.csv").read_text().splitlines()[1:]}
    assert len(tested) == found["data"]["test"]
    table = csv.DictReader((tmp_path / "out/predictions.csv").read_text().splitlines())
    assert all(row["label"].startswith("'=") for row in table)  # no spreadsheet runs it
    for name in set(group.values()):
        members = {str(file.relative_to(tmp_path)) for file, of in group.items() if of == name}
        assert members <= tested or not members & tested


@pytest.mark.parametrize(("backbone", "colour"), [("resnet20_cifar", False), ("lenet5", True)])
def test_grey_images_in_colour_networks_and_the_reverse(tmp_path: Path, backbone: str, colour: bool) -> None:
    torch.manual_seed(0)
    save_state(create_model(backbone), tmp_path / "random.safetensors")
    data = draw(tmp_path / "data", 12, colour=colour)
    found = fitted(data, tmp_path / "out", backbone=f"{backbone}:{tmp_path / 'random.safetensors'}")
    assert "random.safetensors is in no catalogue" in found["chosen"]["note"]
    row = (tmp_path / "out/predictions.csv").read_text().splitlines()[1].split(",")
    best = striate.load(tmp_path / "out").predict(data / row[0], top=1)[0]
    assert best == {"label": row[2], "probability": pytest.approx(float(row[3]), abs=2e-5)}


# ---------------------------------------------------------------------- the model on disk


@pytest.mark.parametrize(
    ("layer", "winner"),
    [
        ("stem", "head"),
        ("stage1", "finetune"),
        pytest.param("stage2", "finetune", marks=pytest.mark.slow),
        ("head.f6", "head"),
        ("stage1", "scratch"),
    ],
)
def test_every_kind_of_winner_reloads_bit_identically(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, winner: str
) -> None:
    probe, kept = policy.probe_layers, []

    def probe_and_prefer(context: TransferContext, budget: Budget) -> ProbeResult:
        skeleton = copy.deepcopy(context.model)
        context.task.fit_head(skeleton, layer)
        return dataclasses.replace(probe(context, budget), layer=layer, skeleton=skeleton)

    def keep(folder: Path, model, card: trained.ModelCard) -> None:
        kept.append((model, card))
        save(folder, model, card)

    save = trained.save
    monkeypatch.setattr(policy, "probe_layers", probe_and_prefer)
    monkeypatch.setattr(policy, "better", lambda challenger, holder: challenger.record.strategy == winner)
    monkeypatch.setattr(trained, "save", keep)
    found = fitted(images, tmp_path / "out", PLAN, per_class=6, scratch=winner == "scratch")
    assert found["chosen"]["strategy"] == winner
    (model, card), classifier = kept[0], striate.load(tmp_path / "out")
    assert classifier.temperature == card.temperature
    files = sorted(images.rglob("*.png"))[::9]
    pixels = torch.from_numpy(np.stack([decode(f.read_bytes(), card.preprocess) for f in files]))
    with torch.inference_mode():
        there = model.eval()(classifier.network.input(pixels))
        here = classifier.network(pixels)
    assert torch.equal(here, there)
    assert model.stages == classifier.network.model.stages
