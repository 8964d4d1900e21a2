"""The live page of a running training: current, written rarely, and replaced by the report."""

from __future__ import annotations

from pathlib import Path

from page import Page

from striate.report.live import EVERY_S, LivePage


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def started(folder: Path, clock: Clock, *, epochs: list[dict[str, float]] | None = None) -> LivePage:
    page = LivePage(folder, network="lenet5", recipe="r", data="<b>photos", epochs=epochs or [], clock=clock)
    page.phase("training", 400, "step")
    return page


def shown(folder: Path) -> Page:
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_page_shows_progress_and_time_left(tmp_path: Path) -> None:
    clock = Clock()
    page = started(tmp_path, clock)
    assert not list(tmp_path.iterdir())
    page.step(1)
    assert "The first epoch is still running." in shown(tmp_path).text
    assert "time left" not in shown(tmp_path).text
    assert "lenet5 on <b>photos" in shown(tmp_path).text
    page.record("epoch", {"epoch": 1.0, "loss": 1.25, "lr": 0.1, "top1": 0.5, "images_per_s": 812.0})
    clock.now += EVERY_S
    page.step(101)
    text = shown(tmp_path).text
    for expected in (
        "25 % of the training steps",
        "101 of 400",
        "Estimated time left 30 s",
        "1.25",
        "Validation accuracy 50.0 %",
        "812",
    ):
        assert expected in text, expected
    assert ("http-equiv", "refresh") in {pair for _, tags in shown(tmp_path).tags for pair in tags.items()}


def test_page_is_written_rarely_and_only_during_training(tmp_path: Path) -> None:
    clock = Clock()
    page = started(tmp_path, clock)
    page.step(1)
    (tmp_path / "report.html").unlink()
    clock.now += EVERY_S - 0.1
    page.step(2)
    page.phase("evaluating on the test set", 5)
    clock.now += EVERY_S
    page.step(5)
    assert not list(tmp_path.iterdir())


def test_earlier_epochs_are_shown_and_repeated_epochs_replaced(tmp_path: Path) -> None:
    clock = Clock()
    before = [{"epoch": float(each), "loss": each / 8, "lr": 0.1} for each in (1, 2, 3, 2)]
    page = started(tmp_path, clock, epochs=before)
    page.step(205)
    titles = list(dict.fromkeys(word for word in shown(tmp_path).words if word.startswith("epoch ") and ":" in word))
    assert [each for each in titles if each.endswith(("0.125", "0.25", "0.375"))] == ["epoch 1: 0.125", "epoch 2: 0.25"]
    clock.now += EVERY_S
    page.step(200)  # restarted from a checkpoint
    clock.now += EVERY_S
    page.step(210)
    assert "3 min 10 s" in shown(tmp_path).text
