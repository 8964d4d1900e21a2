"""docs/errata.md has exactly the figures that examples/errata.py computes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
ERRATA = runpy.run_path(str(ROOT / "examples" / "errata.py"))["errata"]()


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda erratum: erratum.what)
def test_the_page_has_what_is_stated_and_what_is_counted(erratum) -> None:
    beside = [row[1].strip('"') for row in ROWS if row[2:3] == [erratum.counted]]
    if "hree 3x3 layers" in erratum.what:  # written as a sentence
        assert erratum.counted in " ".join(PAGE.split())
        return
    assert beside, f"no row of the page counts {erratum.counted}"
    said = re.sub(r"\W", "", erratum.stated)
    assert any(said == re.sub(r"\W", "", each) or _alike(each, erratum.stated) for each in beside), beside


def _alike(page: str, stated: str) -> bool:
    """Whether both name the same numbers; words may differ, and some claims have no number."""
    numbers = re.findall(r"\d[\d,.]*", stated)
    return numbers == re.findall(r"\d[\d,.]*", page)


def test_the_page_counts_nothing_that_the_script_does_not() -> None:
    counted = {erratum.counted for erratum in ERRATA}
    tables = PAGE.split("## Results and settings")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in tables.splitlines() if line.startswith("| ")
    ]
    listed = {row[2] for row in rows if row[2] not in ("counted", "---")}
    assert listed == counted - {erratum.counted for erratum in ERRATA if "hree 3x3 layers" in erratum.what}


def test_six_rows_of_table_1_are_wrong() -> None:
    marked = {row[0] for row in ROWS if row[-1] == "wrong"}
    assert marked == {"4a", "4c", "4d", "4e", "5a", "5b"}
    for erratum in ERRATA:
        if erratum.what.startswith("Table 1, "):
            printed, counted = (float(text.split()[0]) for text in (erratum.stated, erratum.counted))
            assert (abs(printed - counted) > 1) == (erratum.what.split(", ")[1] in marked)


def test_known_figures() -> None:
    counted = {erratum.what: erratum.counted for erratum in ERRATA}
    assert counted["VGG-16, activations of one image, forward"].startswith("15,237,608")
    assert counted["AlexNet, units up to its output"] == "659,272"
    assert counted["GoogLeNet, weights"] == "6,990,272"
    assert counted["Sobel's kernel on 200 150 150 / 100 50 100 / 25 25 10"] == "65"
    assert counted["512 maps to 32 by 1x1, to 256 by 5x5, weights"] == "221,184"
