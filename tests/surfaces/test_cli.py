"""The command line: its output and its exit codes. Most tests replace the jobs by fakes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
import typer
from samples import evaluated, fit_record
from typer.testing import CliRunner

import striate
from striate.cli import options
from striate.cli.app import app
from striate.core.errors import DataError, PlanError
from striate.records.io import from_json
from striate.records.plans import EvalPlan, FitPlan, PredictPlan, RuntimeOptions, TrainPlan
from striate.records.results import Difference, FitRecord
from striate.records.verbs import CheckRecord, PredictRecord

HERE = [sys.executable, "-m", "striate"]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch):
    """Replaces a job by a fake and returns the list of its calls."""

    def install(name: str, answer, **more):
        calls = []

        def run(*arguments, **named):
            calls.append((arguments, named))
            return answer(*arguments, **named) if callable(answer) else answer

        module = types.ModuleType(f"striate.jobs.{name}")
        module.__dict__.update(run=run, **more)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(f"striate.jobs.{name}", module, raising=False)
        return calls

    return install


def outcome(record: FitRecord, folder: str = "runs/x", **facts):
    return types.SimpleNamespace(record=record, folder=Path(folder), resumed=False, finished_before=False, **facts)


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def raising(error: BaseException):
    def run(*arguments, **named):
        raise error

    return run


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), (" 1.5 H ", 5400)])
def test_times_are_parsed(text, seconds):
    assert options.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "10x", "m", "-5s", "1e3s", "0s", "10 m 5 s", "nan s"])
def test_invalid_times_are_rejected(text):
    with pytest.raises(typer.BadParameter):
        options.parse_time(text)


@pytest.mark.parametrize("text", ["224", "3x224", "3x0x5", "3,224,224", "3x224x224x1", "axbxc"])
def test_invalid_shapes_are_rejected(text):
    with pytest.raises(typer.BadParameter):
        options.parse_shape(text)


def test_fit_passes_the_options_as_a_plan(job, record):
    calls = job("fit", outcome(record))
    typed = (
        "fit photos --backbone resnet18:some/file.pth --budget 10m --out runs/x --per-class 20 --seed 3 --root there "
        "--no-scratch --fast-resize --max-unreadable 0.2 --device cpu --engine torch"
    )
    first = invoke(*typed.split())
    assert first.exit_code == 0, first.output + repr(first.exception)
    (plan,), named = calls[0]
    out = named["out"]
    assert out == Path("runs/x")
    assert plan == FitPlan(
        data="photos",
        root="there",
        backbone="resnet18:some/file.pth",
        budget_s=600.0,
        per_class=20,
        seed=3,
        device="cpu",
        engine="torch",
        fast_resize=True,
        max_unreadable=0.2,
        scratch=False,
    )


def test_fit_without_options_uses_the_default_plan(job, record):
    calls = job("fit", outcome(record))
    assert invoke("fit").exit_code == 0
    assert (calls[0][0], calls[0][1]["out"]) == ((FitPlan(),), None)


def test_fit_prints_candidates_probes_summary_and_report(job, record):
    job("fit", outcome(record, "runs/photos-1"))
    result = invoke("fit")
    for words in (
        "* ",
        "fine-tuning from stage4 onwards",
        "Skipped fine-tuning all stages: the budget of 150 s would not hold a second one.",
        "stage5",
        "Test accuracy: 92.1 %",
        "95 % confidence interval is 88.0 to 94.9 %",
        "warning: 1 image cannot be decoded",
        "report: runs/photos-1/report.html",
    ):
        assert words in result.stdout
    assert result.stderr == ""


def test_json_is_one_document_and_progress_stays_on_stderr(job, record):
    def run(plan, out, progress, cancel):
        progress.phase("features", 1200, "image")
        progress.note("using OpenVINO")
        return outcome(record)

    job("fit", run)
    result = invoke("fit", "--json")
    document = json.loads(result.stdout)
    assert document["test"]["n"] == record.test.n
    assert [c["strategy"] for c in document["candidates"]] == ["head", "finetune", "scratch", "finetune"]
    assert result.stderr == "features: 1,200 images\nusing OpenVINO\n"


def test_an_error_is_two_lines_without_a_traceback(job):
    job("fit", raising(DataError("photos holds one class only, 'cats'\x1b[2J", hint="add a second class")))
    result = invoke("fit", "photos")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: photos holds one class only, 'cats'\\x1b[2J\nhint: add a second class\n"


def test_debug_shows_the_traceback(job):
    job("fit", raising(DataError("no")))
    result = invoke("fit", "--debug")
    assert result.exit_code == 1
    assert isinstance(result.exception, DataError)


@pytest.mark.parametrize(
    "typed",
    [
        "fit --budget 10",
        "fit --per-class 1",
        "fit --seed -1",
        "fit --engine magic",
        "fit --bugdet 10m",
        "fit a b",
        "train",
        "train lenet5",
        "train lenet5 mnist --resume runs/x",
        "train --resume runs/x --out runs/y",
        "train lenet5 mnist --epochs 0",
        "eval m",
        "eval m d --batch 0",
        "predict m",
        "predict m p --top 0",
        "show",
        "show vgg16 --input 224",
        "show vgg16 --classes 0",
        "check",
        "check d --out sheet.png",
        "check d --augment modern --out sheet.jpg",
        "fly",
    ],
)
def test_wrong_usage_exits_with_2_and_calls_no_job(typed, job):
    calls = [job(name, None) for name in ("fit", "train", "evaluate", "predict", "show", "check")]
    result = invoke(*typed.split())
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert not any(calls)


def test_a_plan_rejected_by_the_job_exits_with_1(job):
    job("fit", raising(PlanError("runs/x holds a run of another plan")))
    assert invoke("fit", "--out", "runs/x").exit_code == 1


def test_an_interrupt_prints_how_to_resume(job):
    def run(plan, out, progress, **named):
        progress.record("run", {"folder": "runs/digits-7"})
        raise KeyboardInterrupt

    job("fit", run)
    job("train", run)
    job("check", raising(KeyboardInterrupt()))
    for typed, line in (
        ("fit --out runs/x", "interrupted; run the same command again to resume the run in runs/x\n"),
        ("fit", "interrupted; run the same command with --out runs/digits-7 to resume the run\n"),
        ("train lenet5 mnist", "interrupted; to resume the run: striate train --resume runs/digits-7\n"),
        ("check photos", "interrupted\n"),
    ):
        result = invoke(*typed.split())
        assert (result.exit_code, result.stderr) == (130, line)


def test_train_starts_and_resumes(job, record, monkeypatch):
    done = types.SimpleNamespace(
        network="lenet5",
        steps=40,
        seconds={"total": 2.0},
        test=record.test,
        snapshots=0,
        plan={"data": "mnist"},
        data=types.SimpleNamespace(issues=()),
    )
    plan = TrainPlan(network="lenet5", data="mnist", recipe="lenet_short", epochs=2, seed=1, root="there")
    calls = job("train", types.SimpleNamespace(record=done, folder=Path("runs/l")), planned=lambda folder: plan)
    typed = "train lenet5 mnist --recipe lenet_short --epochs 2 --seed 1 --root there --workers 2 --out runs/l"
    assert invoke(*typed.split()).exit_code == 0
    assert invoke("train", "--resume", "runs/l", "--out", "runs/l").exit_code == 0
    (begun,), how = calls[0]
    out = {"out": Path("runs/l")}
    assert begun == plan
    assert how.items() >= (out | {"runtime": RuntimeOptions(workers=2), "resume": False}).items()
    (again,), how = calls[1]
    assert again == plan
    assert how.items() >= (out | {"runtime": RuntimeOptions(), "resume": True}).items()
    done.snapshots = 6
    shown = invoke(*typed.split(), "--snapshots", "6")
    assert calls[-1][0][0] == dataclasses.replace(plan, snapshots=6)
    assert "next:   striate eval runs/l mnist --snapshots" in shown.stdout
    invoke(*typed.split(), "--micro-batch", "64", "--validate", "--schedule-fraction", "0.5")
    assert calls[-1][0][0] == dataclasses.replace(plan, micro_batch=64, validate=True, schedule_fraction=0.5)
    monkeypatch.setenv("RANK", "1")  # only the process of rank 0 prints
    assert invoke(*typed.split()).stdout == ""


def test_eval_prints_tables_and_json(job, record):
    calls = job("evaluate", evaluated(record.test))
    result = invoke("eval", "runs/x", "photos", "--split", "test", "--batch", "8")
    assert calls[0][0][0] == EvalPlan(model="runs/x", data="photos", split="test", batch=8)
    assert "macro F1" in result.stdout
    assert "sunflowers" in result.stdout
    document = json.loads(invoke("eval", "runs/x", "photos", "--json").stdout)
    assert {"top1", "top5", "per_class", "ece", "confusion", "single", "ensemble"} <= set(document)
    assert "gain" not in result.stdout  # one model without test-time augmentation: nothing to compare


def test_eval_compares_an_ensemble_with_a_single_model(job, record):
    gain = Difference(top1=0.0123, interval=(-0.004, 0.03))
    calls = job("evaluate", evaluated(record.test, singles=("runs/a", "runs/b"), together=gain))
    typed = "eval runs/a photos --with runs/b --with runs/c --snapshots --tta mirror"
    result = invoke(*typed.split())
    assert calls[0][0][0] == EvalPlan(
        model="runs/a", also=("runs/b", "runs/c"), snapshots=True, tta="mirror", data="photos"
    )
    assert "minus that of runs/a, in percentage points" in result.stdout
    assert "+1.23 (-0.40 to +3.00)" in result.stdout
    wrong = invoke("eval", "runs/a", "photos", "--tta", "miror")
    assert (wrong.exit_code, len(calls)) == (2, 1)
    assert "did you mean mirror" in wrong.stderr


def test_predict_reports_unreadable_images(job):
    rows = [
        {
            "file": "a.jpg",
            "predictions": [{"label": "cat", "probability": 0.91}, {"label": "dog", "probability": 0.09}],
        },
        {"file": "b.jpg", "predictions": [], "error": "b.jpg is text"},
    ]
    calls = job("predict", from_json(tuple[PredictRecord, ...], rows))
    invoke("predict", "runs/x", "a.jpg", "--with", "runs/y", "--tta", "shift")
    assert calls.pop()[0][0] == PredictPlan(model="runs/x", also=("runs/y",), tta="shift", images=("a.jpg",))
    result = invoke("predict", "runs/x", "a.jpg", "b.jpg", "--top", "2")
    assert calls[0][0][0] == PredictPlan(model="runs/x", images=("a.jpg", "b.jpg"), top=2)
    assert result.exit_code == 1
    assert "91.0 %" in result.stdout
    assert "b.jpg" not in result.stdout
    assert result.stderr == "error: b.jpg is text\n"
    assert json.loads(invoke("predict", "runs/x", "a.jpg", "--json").stdout) == rows
    job("predict", from_json(tuple[PredictRecord, ...], rows[:1]))
    assert invoke("predict", "runs/x", "a.jpg").exit_code == 0


def test_check_lists_issues(job):
    found = {
        "classes": {"cat": 12, "dog": 1300},
        "images": 1312,
        "issues": [{"kind": "unreadable", "files": [f"{i}.jpg" for i in range(9)], "detail": "9 cannot be read."}],
    }
    job("check", from_json(CheckRecord, found))
    result = invoke("check", "photos")
    assert "1,312 images, 2 classes" in result.stdout
    assert "unreadable: 9 cannot be read." in result.stdout
    assert "4.jpg and 4 more" in result.stdout
    assert json.loads(invoke("check", "photos", "--json").stdout) == found


def test_per_class_metrics_are_left_out_for_many_classes(job):
    job("evaluate", evaluated(fit_record([f"class {i}" for i in range(100)], n=4).test))
    out = invoke("eval", "m", "d").stdout
    assert "100 classes; --json prints the metrics of each class" in out
    assert len(out.splitlines()) < 12


def run_it(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HERE, *arguments], capture_output=True, text=True, timeout=60, check=False, **more)


def test_version_help_and_models_do_not_import_torch():
    """What they import decides how fast they are; the time itself depends on the machine."""
    assert run_it("--version").stdout == f"striate {striate.__version__}\n"
    for words in (["--help"], ["models", "--json"]):
        command = [sys.executable, "-X", "importtime", "-m", "striate", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not {"torch", "numpy"} & {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert {"name", "family", "year", "paper", "input", "params", "macs", "units", "stages", "weights"} <= set(
        json.loads(done.stdout)[0]
    )


def test_show_prints_macs_and_suggests_names():
    shown = invoke("show", "lenet5", "--json")
    document = json.loads(shown.stdout)
    assert document["totals"]["macs"] == 416_520
    assert "416,520" in invoke("show", "lenet5").stdout
    unknown = invoke("show", "lenet")
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("error: unknown network 'lenet'\nhint: did you mean lenet5")


def script(tmp_path: Path, body: str) -> dict[str, str]:
    """An environment in which `body` replaces the job of `striate check`."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\nmodule = types.ModuleType('striate.jobs.check')\n"
        f"exec({body!r}, module.__dict__)\n"
        "import striate.jobs\nstriate.jobs.check = sys.modules[module.__name__] = module\n"
    )
    package = Path(striate.__file__).parents[1]  # of the working tree, wherever it is installed
    return os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{package}"}


def test_unexpected_errors_print_a_traceback_only_with_debug(tmp_path):
    environment = script(tmp_path, "def run(plan, progress, cancel): raise ZeroDivisionError('by nothing')")
    quiet = run_it("check", "x", env=environment)
    assert quiet.returncode == 1
    assert [line for line in quiet.stderr.splitlines() if not line.startswith("starting")] == [
        "error: ZeroDivisionError: by nothing",
        "hint: this is a bug in Striate; run the same command with --debug to see the traceback",
    ]
    loud = run_it("check", "x", "--debug", env=environment)
    assert loud.returncode == 1
    assert "Traceback" in loud.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_exit_with_130(tmp_path, number):
    body = "def run(plan, progress, cancel):\n    import time\n    progress.phase('asleep')\n    time.sleep(90)"
    process = subprocess.Popen(
        [*HERE, "check", "x"], env=script(tmp_path, body), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert next(line for line in process.stderr if not line.startswith("starting")) == "asleep\n"
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"


def test_a_closed_pipe_prints_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m striate models | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[0] == "network"
    assert "Traceback" not in done.stderr


def test_no_option_has_its_own_name_as_metavar() -> None:
    """Some versions of Typer then declare the option in capitals: ``--DEVICE``."""
    commands = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    options = [(name, p) for name, each in commands.items() for p in each.params if p.param_type_name == "option"]
    assert len(options) > 50
    assert [f"{name} --{p.name}" for name, p in options if p.metavar == p.name.upper()] == []
