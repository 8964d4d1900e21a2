"""Ctrl-C and SIGTERM. Only the command line sets handlers for them; jobs are cancelled through a token."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cancelled_by_signals(cancel: Callable[[], None], *, patient: bool = False) -> Iterator[None]:
    """Within this block the first Ctrl-C or SIGTERM cancels a job, and the second interrupts it at once.

    Args:
        cancel: Called by the first signal.
        patient: Whether further signals change nothing. A launcher of several processes passes on the Ctrl-C that the
            terminal has sent already, and kills by itself the processes that take too long.

    Raises:
        KeyboardInterrupt: A second signal came, and `patient` is False.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if received and not patient:
            raise KeyboardInterrupt
        received.append(number)
        cancel()

    with _handled_by(receive):
        yield


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Within this block SIGTERM interrupts at once, as Ctrl-C does.

    Raises:
        KeyboardInterrupt: A signal came.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled_by(receive):
        yield


@contextmanager
def _handled_by(receive: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = [signal.signal(number, receive) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
