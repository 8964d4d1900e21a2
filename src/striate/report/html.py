"""The HTML report of a finished run: one self-contained page without scripts, for screens, phones and print."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from striate import tasks
from striate.core import words
from striate.core.atomic import write_text
from striate.data.index import dataset_file
from striate.records.recipes import title
from striate.records.results import FitRecord, Prediction, TrainRecord
from striate.report import charts, files, findings, verdict
from striate.report.template import environment

NAME = "report.html"
MAX_THUMBNAIL_BYTES = 2_500_000
MAX_CLASSES_IN_HEAT_MAP = 25
MAX_ROWS = 1000
MAX_FILES = 50
MAX_ISSUES = 100

_MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}


def render(
    record: FitRecord | TrainRecord,
    *,
    mistakes: Sequence[Prediction] = (),
    thumbnails: Mapping[str, bytes] | None = None,
    folder: str = "RUN",
) -> str:
    """Render the report.

    Args:
        record: The run.
        mistakes: Misclassified test images, as the task gives them.
        thumbnails: Small JPEG, PNG or GIF images by the file names in `mistakes`. A mistake without a thumbnail is
            listed without an image. Thumbnails after the first 2.5 MB are left out, so that the page stays under 5 MB.
        folder: The run folder, as the user would type it.

    Returns:
        An HTML document.
    """
    own = _of_training(record) if isinstance(record, TrainRecord) else _of_fitting(record)
    return (
        pages()
        .get_template("training.html" if isinstance(record, TrainRecord) else "report.html")
        .render(
            record=record,
            task=tasks.get(record.task),
            findings=findings,
            charts=charts,
            scored_by=pages().select_template([f"scores/{record.task}.html", "scores/default.html"]),
            whole=charts.Scale(low=0.0, high=1.0),
            max_classes=MAX_CLASSES_IN_HEAT_MAP,
            mistakes=_imaged(mistakes, thumbnails or {}),
            folder=folder,
            name=dataset_file(record.data.source),
            max_rows=MAX_ROWS,
            max_files=MAX_FILES,
            max_issues=MAX_ISSUES,
            **own,
        )
    )


def _of_fitting(record: FitRecord) -> dict[str, Any]:
    """The variables that only the report of a fitted classifier uses."""
    task = tasks.get(record.task)
    validated = [c.validation for c in record.candidates if c.validation is not None]
    return {
        "verdict": verdict.judge(record),
        "scale": charts.around([end for score in validated for end in task.interval(score)]),
        "candidates": [(c, verdict.is_winner(c, record)) for c in record.candidates],
        "curves": [c for c in record.candidates if c.curve],
        "name_of": verdict.name_of,
    }


def _of_training(record: TrainRecord) -> dict[str, Any]:
    """The variables that only the report of a trained network uses."""
    return {"verdict": verdict.judge_training(record), "recipe": title(record.plan["recipe"])}


def write(
    folder: str | Path,
    record: FitRecord | TrainRecord,
    *,
    mistakes: Sequence[Prediction] = (),
    thumbnails: Mapping[str, bytes] | None = None,
) -> Path:
    """Write ``report.html`` and its figures atomically into a run folder. The arguments are those of `render`.

    Returns:
        The path of the file.

    Raises:
        StorageError: The file cannot be written.
    """
    path = Path(folder) / NAME
    page = render(record, mistakes=mistakes, thumbnails=thumbnails, folder=str(folder))
    write_text(path, page)
    files.write(folder, page)
    return path


def _imaged(mistakes: Sequence[Prediction], thumbnails: Mapping[str, bytes]) -> list[tuple[Prediction, str | None]]:
    imaged, spent = [], 0
    for each in mistakes:
        raw = thumbnails.get(each.file, b"")
        kind = next((kind for magic, kind in _MAGIC.items() if raw.startswith(magic)), None)
        spent += len(raw)
        fits = kind is not None and spent <= MAX_THUMBNAIL_BYTES
        imaged.append((each, f"data:{kind};base64,{base64.b64encode(raw).decode()}" if fits else None))
    return imaged


@cache
def pages() -> Environment:
    """The environment of the HTML templates."""
    return environment(html=True, finalize=_finalize)


def _finalize(value: Any) -> Any:
    """Escape control characters and put a non-breaking space before each percent sign."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return Markup(str(escape(words.printable(value))).replace(" %", "&nbsp;%"))
    return value
