"""Numbers as people read them."""

from __future__ import annotations

import doctest

import pytest

from striate.report import words


def test_the_examples_are_true():
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (61_706, "61.7 k"), (999_940, "1 M"), (133e6, "133 M"), (5e15, "5,000 T")],
)
def test_compact_numbers_never_turn_scientific(number, said):
    assert words.compact(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.7, "1 min"), (60, "1 min"), (3599.8, "1 h"), (5400, "1 h 30 min")],
)
def test_durations_carry_over(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("share", "said"), [(None, "-"), (0.0, "0 %"), (1.0, "100 %"), (0.9999, "100.0 %"), (0.0004, "0.0 %")]
)
def test_only_what_is_whole_is_said_to_be(share, said):
    assert words.percent(share) == said


def test_printable_leaves_letters_of_every_script_alone():
    assert words.printable("mèche ねこ 🐈.jpg") == "mèche ねこ 🐈.jpg"
    assert words.printable("a\nb\u202egpj.exe") == "a\\nb\\u202egpj.exe"
