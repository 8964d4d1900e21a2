"""A finished run as one page that stands alone: no script, nothing loaded, fit for a phone, the dark and paper."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from striate.core import words
from striate.core.atomic import write_text
from striate.records.recipes import title
from striate.records.results import FitRecord, Prediction, TrainRecord
from striate.report import charts, findings, verdict
from striate.report.template import environment

NAME = "report.html"
MOST_MISTAKES = 24
MOST_THUMBNAIL_BYTES = 2_500_000
MOST_CLASSES_IN_HEAT_MAP = 25
MOST_ROWS = 1000
MOST_FILES = 50
MOST_PROBLEMS = 100

_MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}


def worst_mistakes(predictions: Iterable[Prediction], most: int = MOST_MISTAKES) -> tuple[Prediction, ...]:
    """The mistakes made with most confidence, the surest first: those a person learns most from.

    Args:
        predictions: Of the test images, right and wrong.
        most: How many at most.
    """
    wrong = [each for each in predictions if each.prediction != each.label]
    return tuple(sorted(wrong, key=lambda each: (-each.probability, each.file))[:most])


def render(
    record: FitRecord | TrainRecord,
    *,
    mistakes: Sequence[Prediction] = (),
    thumbnails: Mapping[str, bytes] | None = None,
    folder: str = "RUN",
) -> str:
    """The page.

    Args:
        record: The run.
        mistakes: Wrongly named test images, the surest first, as `worst_mistakes` chooses them.
        thumbnails: Small JPEG, PNG or GIF images by the file names in `mistakes`. A mistake without one is only
            named; past 2.5 MB the rest are only named, so that the page stays under 5 MB.
        folder: The run's folder, as its user would type it.

    Returns:
        An HTML document.
    """
    own = _of_training(record) if isinstance(record, TrainRecord) else _of_fitting(record)
    return (
        pages()
        .get_template("training.html" if isinstance(record, TrainRecord) else "report.html")
        .render(
            record=record,
            findings=findings,
            charts=charts,
            whole=charts.Scale(low=0.0, high=1.0),
            heat_map=0 < len(record.test.confusion) <= MOST_CLASSES_IN_HEAT_MAP,
            mistakes=_imaged(mistakes, thumbnails or {}),
            wrong=round(record.test.n * (1 - record.test.top1)),
            folder=folder,
            name=Path(record.data.source).name or record.data.source,
            max_rows=MOST_ROWS,
            max_files=MOST_FILES,
            max_issues=MOST_PROBLEMS,
            **own,
        )
    )


def _of_fitting(record: FitRecord) -> dict[str, Any]:
    """What only the page of a fitted classifier shows."""
    validated = [c.validation for c in record.candidates if c.validation is not None]
    return {
        "verdict": verdict.judge(record),
        "scale": charts.around([end for score in validated for end in score.top1_interval]),
        "candidates": [(c, verdict.is_winner(c, record)) for c in record.candidates],
        "curves": [c for c in record.candidates if c.curve],
        "name_of": verdict.name_of,
    }


def _of_training(record: TrainRecord) -> dict[str, Any]:
    """What only the page of a trained network shows."""
    return {"verdict": verdict.judge_training(record), "recipe": title(record.plan["recipe"])}


def write(
    folder: str | Path,
    record: FitRecord | TrainRecord,
    *,
    mistakes: Sequence[Prediction] = (),
    thumbnails: Mapping[str, bytes] | None = None,
) -> Path:
    """Write ``report.html`` into a run's folder, whole or not at all. Arguments as for `render`.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    path = Path(folder) / NAME
    write_text(path, render(record, mistakes=mistakes, thumbnails=thumbnails, folder=str(folder)))
    return path


def _imaged(mistakes: Sequence[Prediction], thumbnails: Mapping[str, bytes]) -> list[tuple[Prediction, str | None]]:
    imaged, spent = [], 0
    for each in mistakes[:MOST_MISTAKES]:
        raw = thumbnails.get(each.file, b"")
        kind = next((kind for magic, kind in _MAGIC.items() if raw.startswith(magic)), None)
        spent += len(raw)
        fits = kind is not None and spent <= MOST_THUMBNAIL_BYTES
        imaged.append((each, f"data:{kind};base64,{base64.b64encode(raw).decode()}" if fits else None))
    return imaged


@cache
def pages() -> Environment:
    """The templates of pages."""
    return environment(html=True, finalize=_finalize)


def _finalize(value: Any) -> Any:
    """Control characters are written out, and a number is never parted from its percent sign."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return Markup(str(escape(words.printable(value))).replace(" %", "&nbsp;%"))
    return value
