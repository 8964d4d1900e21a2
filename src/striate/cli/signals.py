"""Ctrl-C, SIGTERM and SIGHUP. Only the command line sets handlers for them; jobs are cancelled through a token."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CLOSED: int | None = getattr(signal, "SIGHUP", None)
"""The terminal was closed, or the connection to it; Windows has no such signal."""


@contextmanager
def cancelled_by_signals(cancel: Callable[[], None], *, patient: bool = False) -> Iterator[None]:
    """Within this block the first Ctrl-C, SIGTERM or SIGHUP cancels a job, and the second interrupts it at once.

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
    """Within this block SIGTERM and SIGHUP interrupt at once, as Ctrl-C does.

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
    signals: list[int] = list(_SIGNALS)
    if _CLOSED is not None and signal.getsignal(_CLOSED) != signal.SIG_IGN:  # nohup ignores it, and that stays so
        signals.append(_CLOSED)
    before = [signal.signal(number, receive) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
