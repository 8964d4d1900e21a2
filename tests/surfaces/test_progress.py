"""Progress on standard error."""

from __future__ import annotations

import io
import threading

from striate.cli.progress import Bar, Lines, following


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_per_phase_and_per_ten_seconds():
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    lines.phase("features", 2000, "image")
    for second in range(1, 26):
        now[0] = float(second)
        lines.step(40 * second)
    lines.phase("thinking")
    now[0] = 40.0
    lines.step(1)
    lines.note("bad \x1b[2J name")
    assert stream.getvalue().splitlines() == [
        "features: 2,000 images",
        "features: 400 of 2,000 images; 10 s elapsed, 40 s left in this phase",
        "features: 800 of 2,000 images; 20 s elapsed, 30 s left in this phase",
        "thinking",
        "thinking: 1; 40 s elapsed",
        "bad \\x1b[2J name",
    ]


def test_the_run_folder_is_remembered():
    lines = Lines(io.StringIO())
    lines.record("trained", {"folder": "no"})
    assert lines.folder is None
    lines.record("run", {"folder": "runs/x"})
    lines.record("run", {})
    assert lines.folder == "runs/x"


def test_training_lines_show_the_last_epoch():
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    lines.phase("training", 400, "step")
    for step, figures in (
        (100, {"epoch": 1.0, "loss": 1.0}),
        (200, {}),
        (300, {"epoch": 3.0, "loss": 0.1, "top1": 0.9}),
    ):
        if figures:
            lines.record("epoch", figures)
        now[0] += 10
        lines.step(step)
    lines.phase("evaluating on the test set")
    now[0] += 10
    lines.step(1)
    assert stream.getvalue().splitlines() == [
        "training: 400 steps",
        "training: 100 of 400 steps; epoch 1: loss 1; 10 s elapsed",
        "training: 200 of 400 steps; epoch 1: loss 1; 20 s elapsed, 20 s left in this phase",
        "training: 300 of 400 steps; epoch 3: loss 0.1, validation accuracy 90.0 %; 30 s elapsed, "
        "10 s left in this phase",
        "evaluating on the test set",
        "evaluating on the test set: 1; 40 s elapsed",
    ]


def test_bar_on_a_terminal_keeps_finished_phases(capsys):
    with following(Terminal()) as bar:
        assert isinstance(bar, Bar)
        bar.phase("[red]features", 10, "image")
        bar.step(5)
        bar.note("a [bold] note")
        bar.phase("training")
        bar.record("epoch", {"epoch": 2.0, "loss": 0.25})
        assert any("epoch 2: loss 0.25" in str(line) for line in bar._live.get_renderables())
    output = capsys.readouterr().err
    assert "a [bold] note" in output
    assert "[red]features (0." in output
    assert "training (0." in output


def test_a_phase_of_no_steps_shows_no_count(capsys):
    with following(Terminal()) as bar:
        bar.phase("extracting features", 0, "image")
        (task,) = bar._live.tasks
        assert (task.total, task.description) == (None, "extracting features")


def test_the_bar_fits_into_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with following(Terminal()) as bar:
        bar.phase("fine-tuning stage2, stage3, stage4, head.features, fold 12 of 14: training", 123_400, "step")
        bar.step(100_000)
        (task,) = bar._live.tasks
        assert len(task.description) <= 80 - 12 - 4
        assert task.description.endswith("training: 100,000 of 123,400 steps")
        bar.record("epoch", {"epoch": 300.0, "loss": 0.123, "top1": 0.5})
        bar.record("remaining", {"seconds_left": 100.0})
        assert all(len(str(line)) <= 80 for line in list(bar._live.get_renderables())[1:])


def test_no_long_silence_at_the_start_or_in_a_phase_without_steps():
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    for second in range(1, 25):
        now[0] = float(second)
        lines.tick()
        if second == 13:
            lines.phase("fitting linear probes", 5, "layer")
    assert stream.getvalue().splitlines() == [
        "starting; 3 s elapsed",
        "starting; 13 s elapsed",
        "fitting linear probes: 5 layers",
        "fitting linear probes; 23 s elapsed",
    ]


def test_an_estimate_of_the_whole_run_replaces_that_of_the_phase():
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    lines.phase("fine-tuning stage4, fold 2 of 4: training", 100, "step")
    lines.record("remaining", {"seconds_left": 125.0})
    lines.step(1)
    now[0] = 15.0
    lines.step(50)
    assert stream.getvalue().splitlines()[1:] == [
        "fine-tuning stage4, fold 2 of 4: training: 50 of 100 steps; 15 s elapsed, at most 1 min 50 s left in all"
    ]


def test_the_ticking_thread_ends_with_its_block():
    lines = Lines(io.StringIO())
    with lines.ticking():
        assert "progress" in {thread.name for thread in threading.enumerate()}
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_an_estimate_that_has_run_out_is_not_shown():
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    lines.phase("evaluating on the test set", 100, "image")
    lines.record("remaining", {"seconds_left": 5.0})
    for second in (1.0, 15.0):
        now[0] = second
        lines.step(int(second))
    assert stream.getvalue().splitlines()[1:] == ["evaluating on the test set: 15 of 100 images; 15 s elapsed"]
