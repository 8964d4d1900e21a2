"""Numbers, durations and values formatted for people."""

from __future__ import annotations

import doctest

import pytest

from striate.core import durations, words
from striate.core.errors import PlanError


@pytest.mark.parametrize("module", [words, durations], ids=lambda module: module.__name__)
def test_docstring_examples(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1+1", "'=1", "''-a")


@pytest.mark.parametrize("text", [*FORMULAS, "rose", "-1", "+2.5", "", "'rose", "a=b", "-", "1-2"])
def test_cells_of_csv_files_are_no_formulas_and_can_be_read_back(text):
    cell = words.csv_cell(text)
    assert not cell.startswith(("=", "@", "\t", "\r", "\n", " ", "\uff1d"))
    assert cell == text or cell == f"'{text}"
    assert (cell != text) == (text in (*FORMULAS, "-"))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (61_706, "61.7 k"), (999_940, "1 M"), (133e6, "133 M"), (5e15, "5,000 T")],
)
def test_compact_never_uses_scientific_notation(number, text):
    assert words.compact(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.7, "1 min"), (60, "1 min"), (3599.8, "1 h"), (5400, "1 h 30 min")],
)
def test_format_duration_carries_rounded_seconds(seconds, text):
    assert durations.format_duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), (" 1.5 H ", 5400)])
def test_parse_duration(text, seconds):
    assert durations.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "10x", "m", "-5s", "1e3s", "0s", "10 m 5 s", "nan s"])
def test_parse_duration_refuses_other_text(text):
    with pytest.raises(PlanError, match="as in 90s, 10m or 2h"):
        durations.parse_duration(text)


@pytest.mark.parametrize(
    ("fraction", "text"), [(None, "-"), (0.0, "0 %"), (1.0, "100 %"), (0.9999, "100.0 %"), (0.0004, "0.0 %")]
)
def test_percent_omits_the_decimal_only_for_exactly_0_and_1(fraction, text):
    assert words.percent(fraction) == text


def test_printable_keeps_letters_of_every_script():
    assert words.printable("mèche ねこ 🐈.jpg") == "mèche ねこ 🐈.jpg"
    assert words.printable("a\nb\u202egpj.exe") == "a\\nb\\u202egpj.exe"
