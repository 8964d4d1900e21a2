"""The live page of a running training. It reloads itself, and the report replaces it when the run ends."""

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
"""Seconds between two updates of the page, and between two reloads in the browser."""


@final
class LivePage(NoProgress):
    """A progress callback that keeps ``report.html`` of a running training up to date.

    Args:
        folder: The run folder.
        network: Name of the network.
        recipe: Name of the recipe.
        data: Name of the dataset.
        epochs: Metrics of the epochs before the run was resumed, one mapping per epoch.
        clock: A monotonic clock in seconds.
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
        """Start or stop updating; the page covers only the phase ``training``."""
        self._steps, self._from, self._written = total if name == "training" else None, None, None

    def step(self, done: int) -> None:
        """Update the number of steps, and the page if the last update is old enough."""
        if self._steps is None:
            return
        self._done = done
        if self._from is None or done < self._from[1]:  # the first step, or training restarted from a checkpoint
            self._from = self._clock(), done
        if self._written is None or self._clock() - self._written >= EVERY_S:
            self._write()

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Add the metrics of an epoch; an epoch that is repeated replaces its first run."""
        if event == "epoch":
            self._add(facts)

    def _add(self, row: Mapping[str, Any]) -> None:
        self._curve = [each for each in self._curve if each["epoch"] < row["epoch"]] + [row]

    def _left_s(self) -> float | None:
        """Estimated seconds to the end; None before the second step of this process."""
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
                charts=charts,
                every_s=EVERY_S,
                now=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
            )
        )
        write_text(self.path, page)
