"""The figures of a report as files: each chart of the page, one self-contained SVG for light and dark mode."""

from __future__ import annotations

import re
from pathlib import Path

from striate.core.atomic import make_folder, write_text
from striate.report.template import environment

FOLDER = "figures"
_FIGURE = re.compile(r'<svg data-figure="([a-z-]+)" viewBox="0 0 ([0-9.]+) ([0-9.]+)" [^>]*>(.*?)</svg>', re.DOTALL)


def figures(page: str) -> dict[str, str]:
    """Every chart of a page as an SVG document, by the name of its file without suffix.

    Args:
        page: HTML with charts of `report.charts`. Of charts with the same name, the later ones get a number.
    """
    found: dict[str, str] = {}
    template = environment(html=False).get_template("figure.svg")
    for name, width, height, drawing in _FIGURE.findall(page):
        number = 1 + sum(1 for each in found if each == name or re.fullmatch(rf"{name}-\d+", each))
        found[name if number == 1 else f"{name}-{number}"] = template.render(
            width=width, height=height, drawing=drawing.replace("&nbsp;", "\N{NO-BREAK SPACE}")
        )
    return found


def write(folder: str | Path, page: str) -> list[Path]:
    """Write the charts of a page atomically to ``figures/NAME.svg`` in a run folder.

    Returns:
        The paths of the files.

    Raises:
        StorageError: A file cannot be written.
    """
    place = make_folder(Path(folder) / FOLDER)
    drawn = {place / f"{name}.svg": drawing for name, drawing in figures(page).items()}
    for path, drawing in drawn.items():
        write_text(path, drawing)
    return list(drawn)
