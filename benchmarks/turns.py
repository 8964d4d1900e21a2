"""Turns that are timed against each other, one at a time, and what their times say.

A turn is timed where it runs. A peer may run in a process of its own, as it would without us: threads of one library
slow another's down for as long as both live in one process.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from striate.core.memory import keep_freed_memory

Turn = Callable[[], object]
Timed = Callable[[], float]
"""A turn that gives its seconds."""
Clock = Callable[[], float]


def clock_of(cpu_time: bool) -> Clock:
    """Seconds of the processor, or of the wall."""
    return time.process_time if cpu_time else time.perf_counter


def clocked(turn: Turn, clock: Clock = time.perf_counter, *, before_s: float = 0.0) -> Timed:
    """A turn that gives its seconds.

    Args:
        turn: What is timed.
        clock: By what.
        before_s: For how long it is taken again and again each time before it counts: a short turn waits for threads
            that sleep, or share a processor with each other or with what still spins after the turn before.
    """

    def run() -> float:
        start = time.perf_counter()
        while time.perf_counter() - start < before_s:
            turn()
        began = clock()
        turn()
        return clock() - began

    return run


def rounds(turns: Mapping[str, Timed], count: int) -> dict[str, np.ndarray]:
    """Seconds of every turn in `count` rounds, after one that does not count."""
    names = list(turns)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(count + 1):
        for name in names if number % 2 else reversed(names):
            took = turns[name]()
            if number:
                seconds[name].append(took)
    return {name: np.array(each) for name, each in seconds.items()}


def compared(peer_s: np.ndarray, ours_s: np.ndarray) -> dict[str, float]:
    """Medians in milliseconds, and the median of the ratios with its 95 % interval."""
    ratios = peer_s / ours_s
    draws = np.random.default_rng(0).integers(0, len(ratios), (2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), (2.5, 97.5))
    facts = {"peer_ms": 1e3 * np.median(peer_s), "ms": 1e3 * np.median(ours_s)}
    facts |= {"ratio": np.median(ratios), "low": low, "high": high}
    return {key: round(float(value), 4) for key, value in facts.items()}


@contextmanager
def apart(
    build: Callable[..., dict[str, Turn]],
    *given: object,
    threads: int,
    cpu_time: bool,
    keep_memory: bool,
    before_s: float = 0.0,
) -> Iterator[dict[str, Timed]]:
    """The turns that `build` makes of what is given, in a process of their own with the system's defaults.

    Args:
        build: A function of a module.
        given: Its arguments.
        threads: Of PyTorch.
        cpu_time: Whether processor time is counted.
        keep_memory: Whether the process keeps freed memory, as ours does.
        before_s: As `clocked` takes it.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    how = threads, cpu_time, keep_memory, before_s
    process = spawn.Process(target=_serve, args=(theirs, build, given, *how), daemon=True)
    mine = os.environ.pop("GOMP_SPINCOUNT", None)  # a choice of the command's
    process.start()
    if mine is not None:
        os.environ["GOMP_SPINCOUNT"] = mine
    theirs.close()

    def step(who: str) -> float:
        ours.send(who)
        return ours.recv()

    yield {who: lambda who=who: step(who) for who in ours.recv()}
    ours.send(None)
    process.join()


def _serve(
    pipe: Connection,
    build: Callable[..., dict[str, Turn]],
    given: tuple[object, ...],
    threads: int,
    cpu_time: bool,
    keep_memory: bool,
    before_s: float,
) -> None:
    """Take the turn that is named on `pipe`, and answer with its seconds, until None comes."""
    if keep_memory:
        keep_freed_memory()
    import torch

    torch.set_num_threads(threads)
    turns = build(*given)
    pipe.send(list(turns))
    while (who := pipe.recv()) is not None:
        pipe.send(clocked(turns[who], clock_of(cpu_time), before_s=before_s)())
