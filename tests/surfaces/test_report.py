"""The HTML report: well-formed, safe, small and correct."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from page import Page
from samples import fit_record, jpeg, score_of, train_record

from striate.core import words
from striate.core.errors import StorageError
from striate.records.results import DataIssue, FitRecord, Prediction
from striate.report import charts, findings, html
from striate.report.verdict import judge
from striate.tasks.classify.report import worst_mistakes

HOSTILE = "<script>alert(1)</script>\" onload='x' {{ 7*7 }} </style></svg>\x1b[2J"


def hostile_record() -> FitRecord:
    record = fit_record((HOSTILE, "b"), n=30)
    issue = DataIssue(kind="unreadable", files=(HOSTILE,), detail=HOSTILE)
    return dataclasses.replace(
        record,
        data=dataclasses.replace(record.data, source=HOSTILE, issues=(issue,)),
        chosen=dataclasses.replace(record.chosen, backbone=HOSTILE, weights=HOSTILE, reason=HOSTILE, note=HOSTILE),
        depth=tuple(dataclasses.replace(p, stage=HOSTILE + p.stage) for p in record.depth),
        plan={HOSTILE: HOSTILE},
        engine={HOSTILE: [HOSTILE]},
        versions={"striate": HOSTILE},
    )


@pytest.mark.parametrize("classes", [2, 5, 25, 26, 300])
def test_every_tag_is_closed_for_any_number_of_classes(classes):
    page = Page(html.render(fit_record([f"class {i}" for i in range(classes)], n=6)))
    assert not page.open
    assert ("heat" in [a.get("class") for _, a in page.tags]) == (classes <= 25)


def test_report_loads_nothing_and_runs_nothing(record, mistakes, thumbnails):
    page = Page(html.render(record, mistakes=mistakes, thumbnails=thumbnails))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
    style = "".join(page.words)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_hostile_names_are_escaped():
    wrong = Prediction(file=HOSTILE, label=HOSTILE, prediction="b", probability=0.9)
    text = html.render(hostile_record(), mistakes=[wrong], thumbnails={HOSTILE: jpeg(0)}, folder=HOSTILE)
    page = Page(text)
    assert not page.open
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if "onload" in a]
    assert "\x1b" not in text
    assert "{{ 7*7 }}" in page.text
    assert " 49 " not in page.text
    assert "<script>alert(1)</script>" in page.text


def test_anchors_have_targets_and_images_have_alt_text(record, mistakes, thumbnails):
    page = Page(html.render(record, mistakes=mistakes, thumbnails=thumbnails))
    places = {a["id"] for _, a in page.tags if "id" in a}
    assert {a["href"] for tag, a in page.tags if tag == "a"} <= {f"#{place}" for place in places}
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    assert all(a.get("aria-label") for tag, a in page.tags if tag == "svg")
    assert [tag for tag, _ in page.tags].count("h1") == 1
    tables = [tag for tag, _ in page.tags]
    assert tables.count("table") == tables.count("caption")
    assert next(a.get("src", "") for tag, a in page.tags if tag == "img").startswith("data:image/jpeg;base64,")


def test_report_shows_the_metrics_of_the_record(record, mistakes):
    text = Page(html.render(record, mistakes=mistakes, folder="runs/it's mine")).text
    for figure in (
        words.percent(record.test.top1),
        words.interval(record.test.top1_interval),
        words.percent(record.test.balanced_accuracy),
        "mobilenet_v2, fine-tuning from stage4 onwards",
        "skipped: the budget of 150 s would not hold a second one",
        "1 image cannot be decoded and was left out.",
        "300,774,272" if record.cost["macs"] < 1e6 else "301 million",
        "491 x 491 px",
        "striate predict 'runs/it'\"'\"'s mine' new.jpg",
        "roses/0000.jpg",
    ):
        assert figure in text


def test_report_is_smaller_than_5_mb():
    heavy = {f"{i}.jpg": b"\xff\xd8\xff" + bytes(400_000) for i in range(30)}
    wrong = [Prediction(file=name, label="a", prediction="b", probability=0.9) for name in heavy]
    record = fit_record([f"class {i}" for i in range(300)], n=1)
    record = dataclasses.replace(record, test=dataclasses.replace(record.test, per_class=record.test.per_class * 10))
    many = tuple(
        DataIssue(kind="unreadable", files=tuple("f" * 200 + str(i) for i in range(5000)), detail="x") for _ in "abc"
    )
    record = dataclasses.replace(record, data=dataclasses.replace(record.data, issues=many))
    text = html.render(record, mistakes=wrong, thumbnails=heavy)
    assert len(text.encode()) < 5_000_000
    assert text.count("data:image/jpeg") == 6
    assert "and 4,950 more" in text


def test_invalid_thumbnails_are_left_out(record, mistakes):
    text = html.render(record, mistakes=mistakes, thumbnails={mistakes[0].file: b"<svg onload=alert(1)>"})
    assert "no image" in text
    assert "base64" not in text


def test_report_without_errors_probes_or_issues(record):
    perfect = score_of(("a", "b"), [[50, 0], [0, 50]])
    plain = dataclasses.replace(
        record,
        test=perfect,
        depth=(),
        data=dataclasses.replace(record.data, classes=("a", "b"), issues=()),
        cost={},
        engine={},
        plan={},
        chosen=dataclasses.replace(record.chosen, strategy="scratch", reused_stages=(), weights="", note=""),
    )
    text = Page(html.render(plain)).text
    assert "Every test image was classified correctly." in text
    assert "No test image was misclassified." in text
    assert "No issues were found" in text
    assert "initial weights random" in text


def test_write_is_atomic(record, tmp_path: Path):
    path = html.write(tmp_path, record)
    assert path == tmp_path / "report.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "report.html"]
    assert f"striate predict {tmp_path}" in path.read_text(encoding="utf-8")
    with pytest.raises(StorageError):
        html.write(tmp_path / "missing", record)
    assert not (tmp_path / "missing").exists()


def test_mistakes_are_sorted_by_probability():
    rows = [
        Prediction(file="right", label="a", prediction="a", probability=0.99),
        Prediction(file="uncertain", label="a", prediction="b", probability=0.5),
        Prediction(file="confident", label="a", prediction="b", probability=0.9),
        Prediction(file="also confident", label="b", prediction="a", probability=0.9),
    ]
    assert [p.file for p in worst_mistakes(rows, 2)] == ["also confident", "confident"]


def test_verdict_warns_if_the_majority_baseline_is_as_good(record):
    test = score_of(("common", "rare"), [[90, 2], [8, 0]])
    verdict = judge(dataclasses.replace(record, test=test))
    assert not verdict.summary.better_than_baseline
    assert verdict.summary.baseline == ("common", 0.92)
    assert verdict.warnings[0].startswith(
        "The accuracy is not significantly better than the majority-class baseline of 92.0 %"
    )
    assert any("The recall of 'rare' is only 0 % (8 test images)." in w for w in verdict.warnings)
    assert any("balanced accuracy (mean recall) is only" in w for w in verdict.warnings)


def test_verdict_on_a_good_run_warns_only_about_the_data(record):
    verdict = judge(record)
    assert verdict.summary.better_than_baseline
    assert verdict.warnings == ("1 image cannot be decoded and was left out.",)


def test_verdict_warns_about_few_test_images_and_bad_calibration(record):
    few = judge(dataclasses.replace(record, test=score_of(("a", "b"), [[9, 1], [3, 7]])))
    assert any(w.startswith("The test set has only 20 images") for w in few.warnings)
    wild = judge(dataclasses.replace(record, test=score_of(("a", "b"), [[90, 10], [10, 90]], sure=0.3)))
    assert any("off by 17 percentage points" in w for w in wild.warnings)


def test_confusions_are_sorted_and_exclude_the_diagonal(record):
    classes = ("a", "b", "c")
    record = dataclasses.replace(
        record,
        test=score_of(classes, [[5, 3, 0], [1, 9, 4], [0, 0, 7]]),
        data=dataclasses.replace(record.data, classes=classes),
    )
    pairs = findings.confusions(record)
    assert [(p.label, p.prediction, p.n) for p in pairs] == [("b", "c", 4), ("a", "b", 3), ("b", "a", 1)]
    assert pairs[1].fraction == 3 / 8


@pytest.mark.parametrize(
    ("fractions", "ends"),
    [((0.62, 0.91), (0.6, 1.0)), ((0.971, 0.99), (0.8, 1.0)), ((0.02, 0.05), (0.0, 0.2)), ((), (0.0, 1.0))],
)
def test_scales_end_on_round_fractions(fractions, ends):
    scale = charts.around(fractions)
    assert (scale.low, scale.high) == ends
    assert scale(scale.low) == 0
    assert scale(scale.high) == 100
    assert scale.ticks()[0] == ends[0]
    assert 3 <= len(scale.ticks()) <= 6


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.slow
def test_no_horizontal_scrolling_in_a_narrow_browser(record, mistakes, thumbnails, tmp_path):
    html.write(tmp_path, record, mistakes=mistakes, thumbnails=thumbnails)
    probe = tmp_path / "probe.html"
    probe.write_text(
        '<iframe id=f src="report.html" width=400 height=9000></iframe><script>f.onload=()=>{const d=f.contentDocument;'
        "document.title=[d.documentElement.scrollWidth,d.images.length,[...d.images].every(i=>i.naturalWidth)].join()}"
        "</script>"
    )
    command = (
        "chromium --headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
        "--disable-sync --no-first-run --allow-file-access-from-files --virtual-time-budget=4000 --dump-dom"
    )
    done = subprocess.run(
        [*command.split(), f"--user-data-dir={tmp_path / 'profile'}", probe.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    width, images, shown = done.stdout.split("<title>")[1].split("</title>")[0].split(",")
    assert int(width) <= 400
    assert (int(images), shown) == (9, "true")


# ---------------------------------------------------------------------- training


def test_custom_recipe_is_shown_by_name() -> None:
    record = train_record()
    page = Page(html.render(dataclasses.replace(record, plan={**record.plan, "recipe": "/home/somebody/mine.toml"})))
    assert "recipe mine," in page.text
    assert "Recipe mine" in page.text


def test_training_report_shows_the_training_curves() -> None:
    record = train_record()
    page = Page(html.render(record))
    assert page.open == []
    assert "The training loss fell from 1.100 in the first epoch to 0.231 in the last." in page.text
    assert (
        "Validation accuracy was highest after epoch 7: 90.0 %. The run was interrupted and resumed once." in page.text
    )
    assert "480 for training, 120 for validation and 180 for testing." in page.text
    drawn = html.render(record)
    assert drawn.count('class="dot open"') == 2  # the best epoch, in the chart for screens and in that for phones
    assert all(panel in drawn for panel in ("training loss<", "validation accuracy<", ">learning rate<"))
    assert "Candidates" not in page.text


def test_training_report_without_validation_and_with_many_epochs() -> None:
    record = train_record(epochs=200)
    bare = dataclasses.replace(
        record,
        curve=tuple({"epoch": row["epoch"], "loss": row["loss"]} for row in record.curve),
        best_epoch=None,
        validation=None,
        halved_at=40,
    )
    page = Page(html.render(bare))
    assert "validation accuracy" not in page.text
    assert "the learning rate was halved at step 40" in page.text
    assert 'class="dot' not in charts.training(bare.curve)
    one = charts.training(bare.curve[:1])
    assert "1 epoch" in one
    assert "nan" not in one


def test_hostile_names_in_a_training_report_are_escaped() -> None:
    record = train_record((HOSTILE, "b"))
    record = dataclasses.replace(record, network=HOSTILE, plan={"recipe": HOSTILE}, recipe={HOSTILE: HOSTILE})
    page = Page(html.render(record))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert page.open == []


def test_training_curves_of_candidates_are_shown(record: FitRecord) -> None:
    curve = tuple({"epoch": e + 1.0, "loss": 1 / (e + 1), "lr": 0.1} for e in range(5))
    first, *others = record.candidates
    with_curve = dataclasses.replace(record, candidates=(dataclasses.replace(first, curve=curve), *others))
    assert "Training curves" in Page(html.render(with_curve)).text
    bare = tuple(dataclasses.replace(each, curve=()) for each in record.candidates)
    assert "Training curves" not in Page(html.render(dataclasses.replace(record, candidates=bare))).text


def test_figures_of_the_report_are_saved_as_svg_files(record: FitRecord, tmp_path: Path) -> None:
    curve = tuple({"epoch": float(i), "loss": 1 / i, "lr": 0.1, "top1": 0.5} for i in range(1, 5))
    tuned = tuple(dataclasses.replace(each, curve=curve) for each in record.candidates[:2])
    html.write(tmp_path, dataclasses.replace(record, candidates=tuned))
    files = {file.name for file in (tmp_path / "figures").iterdir()}
    assert files == {"layer-probes.svg", "reliability.svg", "training-curves.svg", "training-curves-2.svg"}
    for file in (tmp_path / "figures").iterdir():
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 3
        assert ".line" in "".join(root.itertext())  # the styles travel with the file


def test_top_5_is_shown_for_more_than_five_classes_only() -> None:
    five, six = (fit_record([f"class {i}" for i in range(k)]) for k in (5, 6))
    assert "Top-5" not in html.render(five)
    assert "Top-5" in html.render(six)


def test_report_shows_the_prediction_time(record: FitRecord) -> None:
    assert "Prediction time" not in html.render(record)
    timed = dataclasses.replace(record, seconds={**record.seconds, "prediction": 0.01234})
    assert "12.3 ms per image" in html.render(timed)


def test_layers_that_were_not_probed_are_named(record: FitRecord) -> None:
    page = html.render(dataclasses.replace(record, depth=record.depth[2:], unprobed=("stem", "stage1")))
    assert "Not probed within the budget: stem, stage1." in page


@pytest.mark.parametrize("value", [0.0, 0.5, 0.977, 1.0])
def test_axes_of_a_single_epoch_stay_within_the_possible_values(value: float) -> None:
    panel = next(each for each in charts.PANELS if each.metric == "top1")
    low, high = panel.ends([value])
    assert 0 <= low < high <= 1
    drawing = charts.training([{"epoch": 1.0, "loss": 0.3, "top1": value, "lr": 0.1}])
    assert not [label for label in re.findall(r"([0-9.]+) %", drawing) if float(label) > 100]


def test_a_wide_matrix_says_that_it_scrolls_on_a_phone() -> None:
    assert "Scroll sideways" not in html.render(fit_record([f"class {i}" for i in range(10)]))
    assert "Scroll sideways" in html.render(fit_record([f"class {i}" for i in range(11)]))
