"""Fixtures of the tests of the surfaces."""

from __future__ import annotations

import pytest
from samples import fit_record, jpeg

from striate.records.results import FitRecord, Prediction


@pytest.fixture
def record() -> FitRecord:
    return fit_record()


@pytest.fixture
def mistakes() -> tuple[Prediction, ...]:
    return tuple(
        Prediction(file=f"roses/{i:04}.jpg", label="roses", prediction="tulips", probability=0.99 - 0.03 * i)
        for i in range(9)
    )


@pytest.fixture
def thumbnails(mistakes: tuple[Prediction, ...]) -> dict[str, bytes]:
    return {each.file: jpeg(i) for i, each in enumerate(mistakes)}
