"""Progress on standard error."""

from __future__ import annotations

import io

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
        "features: 400 of 2,000 images",
        "features: 800 of 2,000 images",
        "thinking",
        "thinking: 1",
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
        "training: 100 of 400 steps; epoch 1: loss 1",
        "training: 200 of 400 steps; epoch 1: loss 1",
        "training: 300 of 400 steps; epoch 3: loss 0.1, validation accuracy 90.0 %",
        "evaluating on the test set",
        "evaluating on the test set: 1",
    ]


def test_bar_on_a_terminal_keeps_finished_phases(capsys):
    with following(Terminal()) as bar:
        assert isinstance(bar, Bar)
        bar.phase("[red]features", 10, "image")
        bar.step(5)
        bar.note("a [bold] note")
        bar.phase("training")
        bar.record("epoch", {"epoch": 2.0, "loss": 0.25})
        assert "epoch 2: loss 0.25" in [task.fields["epoch"] for task in bar._live.tasks]
    output = capsys.readouterr().err
    assert "a [bold] note" in output
    assert "[red]features (0." in output
    assert "training (0." in output
