"""A training under way as a page that renews itself; when the run ends, its report takes the page's place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, final

from striate.core.atomic import write_text
from striate.core.events import NoProgress
from striate.report import charts
from striate.report.html import NAME, pages

EVERY_S = 10
"""Seconds between two pages, and after which a browser asks for the next."""


@final
class LivePage(NoProgress):
    """Hears of a training, and keeps ``report.html`` in its folder up to date.

    Args:
        folder: Of the run.
        network: Its name.
        recipe: Its name.
        data: What the images are called.
        epochs: Those of processes before, as they were recorded: ``epoch`` and figures.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        network: str,
        recipe: str,
        data: str,
        epochs: Iterable[Mapping[str, Any]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self._clock = folder / NAME, clock
        self._facts = {"network": network, "recipe": recipe, "data": data, "folder": str(folder)}
        self._curve: list[Mapping[str, Any]] = []
        for row in epochs:
            self._add(row)
        self._steps: int | None = None
        self._done = 0
        self._from: tuple[float, int] | None = None
        self._written: float | None = None

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Look out for the training's steps alone."""
        self._steps, self._from, self._written = total if name == "training" else None, None, None

    def step(self, done: int) -> None:
        """Count the step; write the first page, or a new one when it is time."""
        if self._steps is None:
            return
        self._done = done
        if self._from is None or done < self._from[1]:  # the first, or training went back
            self._from = self._clock(), done
        if self._written is None or self._clock() - self._written >= EVERY_S:
            self._write()

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Keep an epoch's figures; an epoch that is run again takes the place of the one before."""
        if event == "epoch":
            self._add(facts)

    def _add(self, row: Mapping[str, Any]) -> None:
        self._curve = [each for each in self._curve if each["epoch"] < row["epoch"]] + [row]

    def _left_s(self) -> float | None:
        """Seconds to the end at the pace of this process; None before it has one."""
        assert self._steps is not None
        if self._from is None or self._done == self._from[1]:
            return None
        began, first = self._from
        return (self._clock() - began) / (self._done - first) * (self._steps - self._done)

    def _write(self) -> None:
        self._written = self._clock()
        page = (
            pages()
            .get_template("live.html")
            .render(
                **self._facts,
                done=self._done,
                steps=self._steps,
                left_s=self._left_s(),
                curve=self._curve,
                chart=charts.training(self._curve) if self._curve else None,
                every_s=EVERY_S,
                now=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
            )
        )
        write_text(self.path, page)
