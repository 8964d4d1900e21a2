"""Tables in terminals of any width, and the commands that are printed to be copied."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from samples import fit_record, train_record

from striate.cli import run_tables
from striate.cli.tables import shorten, tabulate
from striate.core.words import command_line
from striate.records.verbs import PredictRecord, PublishRecord

FOLDER = "/home/anna/Pictures/2024/Summer holidays by the sea/unsorted and not yet looked through"


def predictions(*files: str, label: str = "brown_bear") -> list[PredictRecord]:
    best = ({"label": label, "probability": 0.993}, {"label": "lesser_panda", "probability": 0.007})
    return [PredictRecord(file=file, predictions=best) for file in files]


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, show, *args, **kw) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    show(*args, **kw)
    return capsys.readouterr().out


def table(width: int, columns: Sequence[str], rows: list[tuple[str, ...]], encoding: str = "utf-8", **roles) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    tabulate(Console(file=stream, width=width, markup=False, highlight=False), None, columns, rows, **roles)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_predictions_keep_probability_and_class_beside_a_long_path(monkeypatch, capsys, width):
    out = printed(
        monkeypatch, capsys, width, run_tables.show_predictions, predictions(f"{FOLDER}/IMG_0231.jpg"), wide=False
    )
    first = out.splitlines()[2]
    assert first.split()[-3:] == ["99.3", "%", "brown_bear"]
    assert "0231.jpg" in first
    assert "…" in first
    assert max(map(cell_len, out.splitlines())) <= width


def test_wide_predictions_show_the_whole_path(monkeypatch, capsys):
    show = run_tables.show_predictions
    out = printed(monkeypatch, capsys, 80, show, predictions(f"{FOLDER}/IMG_0231.jpg"), wide=True)
    assert f"{FOLDER}/IMG_0231.jpg  " in out


def test_paths_that_would_look_the_same_are_shown_in_full(monkeypatch, capsys):
    files = [f"/data/{'x' * 60}{side}{'y' * 60}/1.jpg" for side in "ab"]
    out = printed(monkeypatch, capsys, 80, run_tables.show_predictions, predictions(*files), wide=False)
    joined = "".join(line.split("  ")[0].strip() for line in out.splitlines())
    assert all(file in joined for file in files)
    assert out.count("99.3 %  brown_bear") == 2


def test_no_predictions_print_no_table(monkeypatch, capsys):
    assert printed(monkeypatch, capsys, 80, run_tables.show_predictions, [], wide=False) == ""


@pytest.mark.parametrize("width", range(20, 100, 7))
def test_numbers_are_never_cut_and_hidden_columns_are_named(width):
    rows = [(f"network_with_a_long_name_{i}", "classify", f"{10**i:,}", f"{i}.5 %") for i in range(8)]
    out = table(width, ("network", "task", "parameters", "top-1"), rows, numbers=(2, 3), spare=(1,))
    for number in ("10,000,000", "7.5 %", "0.5 %"):
        assert number in out
    assert ("classify" in out) != ("columns: task." in out)


def test_a_console_without_unicode_gets_three_dots():
    out = table(30, ("image", "class"), [(f"{FOLDER}/müsli.jpg", "bear")], encoding="ascii", paths=(0,))
    assert "..." in out
    assert "bear" in out
    assert "\\u2026" not in out


def test_shortened_texts_have_the_asked_width():
    for width in range(3, 40):
        for text in (FOLDER, "日本語の写真がたくさん入ったフォルダー/写真.jpg", "short"):
            found = shorten(text, width)
            assert cell_len(found) <= width
            assert (found == text) == (cell_len(text) <= width)


def test_suggested_commands_are_quoted(monkeypatch, capsys):
    folder = Path("/tmp/my runs/it's 1")
    record, trained = fit_record(), train_record()
    published = PublishRecord(to="/tmp/to here", files={"model.json": 1}, licence="mit")
    for show, arguments, words in (
        (run_tables.show_fit, (record, folder), ["striate", "predict", str(folder), "IMAGE"]),
        (run_tables.show_train, (trained, folder), ["striate", "predict", str(folder), "IMAGE"]),
        (run_tables.show_published, (published,), ["striate", "fit", "DATA", "--backbone", "/tmp/to here"]),
    ):
        out = printed(monkeypatch, capsys, 80, show, *arguments)
        (line,) = (line for line in out.splitlines() if line.startswith("next:"))
        assert shlex.split(line.removeprefix("next:")) == words


def test_a_path_that_begins_with_a_dash_is_no_option():
    assert command_line("striate", "predict", Path("-1"), "IMAGE") == "striate predict ./-1 IMAGE"
