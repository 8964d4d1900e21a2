"""Stopping at a safe point: Ctrl-C and SIGTERM wait until what is under way is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Pending:
    """Whether somebody asked to stop.

    Args:
        patient: Whether a second signal changes nothing.
    """

    def __init__(self, *, patient: bool) -> None:
        self.asked = False
        self._patient = patient

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and not self._patient:  # twice means at once
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def deferred(*, patient: bool = False) -> Iterator[Pending]:
    """Within this, the first Ctrl-C or SIGTERM only sets ``asked``; whoever is inside stops where it is safe.

    A second one interrupts at once. Outside the main thread nothing changes, for only there handlers can be set.

    Args:
        patient: Whether further signals change nothing. A launcher passes on the Ctrl-C that the terminal sent already,
            and itself kills what takes too long.
    """
    pending = Pending(patient=patient)
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    before = [signal.signal(number, pending._ask) for number in _SIGNALS]
    try:
        yield pending
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
