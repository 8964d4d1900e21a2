"""The commands as Python functions: explicit keywords, the plan's defaults, and errors that name what was meant."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from drawings import draw
from striate.core.errors import ArgumentError, DataError, PlanError, UnknownModelError
from striate.records import recipes
from striate.records.plans import EvalPlan, FeaturesPlan, FitPlan, PredictPlan, RuntimeOptions, TrainPlan
from striate.records.recipes import Recipe
from striate.weights import open_model

QUICK = Recipe(lr=0.02, batch=12, epochs=1, source="test")
OWN = {"progress", "out", "resume", "budget", "transforms"}
"""Keywords that are no field of a plan."""


@pytest.mark.parametrize(
    ("function", "plans"),
    [
        (striate.fit, [FitPlan]),
        (striate.train, [TrainPlan, RuntimeOptions]),
        (striate.evaluate, [EvalPlan]),
        (striate.predict, [PredictPlan]),
        (striate.features, [FeaturesPlan]),
    ],
)
def test_keywords_and_defaults_are_those_of_the_plan(function, plans: list[type]) -> None:
    fields = {each.name: each.default for plan in plans for each in dataclasses.fields(plan)}
    fields.pop("budget_s", None)
    fields.pop("task", None)
    given = {name: each.default for name, each in inspect.signature(function).parameters.items()}
    assert set(given) - OWN == set(fields)
    for name, default in fields.items():
        wanted = inspect.Parameter.empty if default is dataclasses.MISSING else default
        assert given[name] == wanted, name
    assert given["progress"] is None


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: striate.create_model("resnet18", num_classes=3), "use classes"),
        (lambda: striate.create_model("resnet18", in_chans=1), "use in_channels"),
        (lambda: striate.create_model("resnet18", pretrained=True), 'use weights="default"'),
        (lambda: striate.create_model("resnet18", features_only=True), "forward_stages"),
        (lambda: striate.create_model("resnet18", global_pool=""), 'upto="pool"'),
        (lambda: striate.create_model("resnet18", klasses=3), "did you mean classes"),
        (lambda: striate.fit("digits", num_classes=3), "the classes are those of the data"),
        (lambda: striate.fit("digits", pretrained=True), "resnet50:default"),
        (lambda: striate.fit("digits", random_state=3), "use seed"),
        (lambda: striate.fit("digits", bugdet="1m"), "did you mean budget"),
        (lambda: striate.train("lenet5", "digits", learning_rate=0.1), "field of the recipe"),
        (lambda: striate.train("lenet5", "digits", n_epochs=1), "use epochs"),
        (lambda: striate.evaluate("lenet5:mnist", "digits", batch_size=1), "use batch"),
        (lambda: striate.check("digits", xyzzy=1), "it takes data, root, progress"),
    ],
)
def test_an_unknown_keyword_names_ours(call, hint: str) -> None:
    with pytest.raises(ArgumentError, match="takes no argument") as caught:
        call()
    assert hint in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("api") / "shapes", 12)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> striate.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(recipes, "recipe", lambda name: QUICK)
        return striate.train("lenet5", data, recipe="quick", out=data.parent / "run")


def test_train_returns_a_run(run: striate.Run, data: Path) -> None:
    assert run.folder == data.parent / "run"
    assert run.record.network == "lenet5"
    assert run.report.is_file()
    files = sorted(data.rglob("*.png"))[:3]
    assert [rows[0]["label"] for rows in run.predict(files)] == [run.predict(each)[0]["label"] for each in files]
    assert run.classifier is run.classifier
    assert "test accuracy" in repr(run)


def test_evaluate_and_predict_take_a_run_a_folder_and_a_classifier(run: striate.Run, data: Path) -> None:
    found = striate.evaluate(run, data)
    assert found.n == len(list(data.rglob("*.png")))
    for model in (run.folder, str(run.folder), run.classifier):
        assert striate.evaluate(model, str(data)).top1 == found.top1
    assert run.classifier.score(data) == pytest.approx(found.top1)
    file = next(data.rglob("*.png"))
    rows = striate.predict(run, [file, "nowhere.png"], top=2)
    assert [row["label"] for row in rows[0].predictions] == [row["label"] for row in run.predict(file, top=2)]
    assert "nowhere.png" in str(rows[1].error)
    assert striate.predict(run, file)[0].file == str(file)


def test_fit_starts_from_a_run(run: striate.Run, data: Path) -> None:
    done = striate.fit(data, backbone=run, scratch=False, engine="torch", work_s=1e-5, out=data.parent / "fit")
    assert done.record.chosen.backbone == "lenet5"
    assert done.record.start["folder"] == str(run.folder.absolute())
    with pytest.raises(PlanError, match="not a duration"):
        striate.fit(data, budget="soon")


def test_check_counts(data: Path) -> None:
    found = striate.check(data)
    assert sum(found.classes.values()) == len(list(data.rglob("*.png")))


def test_features_of_a_stage(run: striate.Run, data: Path, tmp_path: Path) -> None:
    found = striate.features(run, data, stage="stage1")
    model, transforms = run.classifier.network.model, run.classifier.transforms
    assert found.values.dtype == np.float32
    assert found.values.shape == (len(found.files), model.stage_table[1].channels)
    assert [found.classes[label] for label in found.labels] == [Path(file).parent.name for file in found.files]
    again = striate.features(model, data, stage="stage1", transforms=transforms)
    assert np.array_equal(found.values, again.values)
    assert np.array_equal(found.values, striate.features(run.classifier, data, stage="stage1").values)
    opened = open_model(str(run.folder))
    image = transforms(data / found.files[0])[None]
    assert opened.model.forward_stages(image)["stage1"].mean((2, 3))[0].detach().numpy() == pytest.approx(
        found.values[0], abs=1e-5
    )
    record = found.save(tmp_path / "features.npz")
    assert record.shape == found.values.shape
    with np.load(tmp_path / "features.npz") as kept:
        assert np.array_equal(kept["features"], found.values)
        assert tuple(kept["files"]) == found.files
    with pytest.raises(UnknownModelError, match="stage7"):
        striate.features(run, data, stage="stage7")
    with pytest.raises(PlanError, match="does not say how images are preprocessed"):
        striate.features(model, data)
    with pytest.raises(PlanError, match=r"\.npz or \.npy"):
        found.save("features.csv")


def test_features_of_images_without_labels(run: striate.Run, data: Path, tmp_path: Path) -> None:
    for place, file in enumerate(sorted(data.rglob("*.png"))[:3]):
        Image.open(file).save(tmp_path / f"{place}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    found = striate.features(run, tmp_path)
    assert found.labels is None
    assert found.files == ("0.png", "1.png", "2.png")
    assert list(found.unreadable) == ["3.png"]
    listed = striate.features(run, [Image.open(tmp_path / "0.png"), np.asarray(Image.open(tmp_path / "1.png"))])
    assert listed.values == pytest.approx(found.values[:2], abs=1e-6)
    with pytest.raises(DataError, match="there is no image"):
        striate.features(run, [])


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("torch", "sklearn", "scipy", "PIL", "numpy")
    code = f"import sys, striate; dir(striate); print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    for name in striate.__all__:
        assert getattr(striate, name) is not None
    for name in ("fit", "train", "evaluate", "check", "features", "predict"):
        function = getattr(striate, name)
        assert callable(function), name
        words = inspect.getdoc(function) or ""
        for argument in inspect.signature(function).parameters:
            assert f"{argument}: " in words, f"{name}: {argument}"
