"""Interleaved timing of several pieces of work, and the ratios of their times.

Each piece of work is timed in the process that runs it. A reference implementation can run in a separate process, as it
would without Striate: the threads of one library slow those of another as long as both are in the same process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from striate.core.memory import keep_freed_memory

Work = Callable[[], object]
Timed = Callable[[], float]
"""Work that returns its time in seconds."""
Clock = Callable[[], float]


def make_clock(cpu_time: bool) -> Clock:
    """A clock of processor time or of wall time, in seconds."""
    return time.process_time if cpu_time else time.perf_counter


def timed(work: Work, clock: Clock = time.perf_counter, *, before_s: float = 0.0) -> Timed:
    """Make work return its time in seconds.

    Args:
        work: The work to time.
        clock: The clock, in seconds.
        before_s: Seconds of untimed repeats before every timed run. Short work needs them: its threads may still sleep,
            or share a processor with threads that still spin after the previous work.
    """

    def run() -> float:
        start = time.perf_counter()
        while time.perf_counter() - start < before_s:
            work()
        began = clock()
        work()
        return clock() - began

    return run


def interleave(works: Mapping[str, Timed], count: int) -> dict[str, np.ndarray]:
    """Run every piece of work once per round, in an order that reverses from round to round.

    Args:
        works: The pieces of work by name.
        count: Number of timed rounds. One warm-up round comes first.

    Returns:
        Seconds of every piece of work, ``[count]``.
    """
    names = list(works)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(count + 1):
        for name in names if number % 2 else reversed(names):
            took = works[name]()
            if number:
                seconds[name].append(took)
    return {name: np.array(each) for name, each in seconds.items()}


def compare(reference_s: np.ndarray, ours_s: np.ndarray) -> dict[str, float]:
    """Median times in milliseconds, and the median ratio of the times with its 95 % interval."""
    ratios = reference_s / ours_s
    draws = np.random.default_rng(0).integers(0, len(ratios), (2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), (2.5, 97.5))
    facts = {"reference_ms": 1e3 * np.median(reference_s), "ms": 1e3 * np.median(ours_s)}
    facts |= {"ratio": np.median(ratios), "low": low, "high": high}
    return {key: round(float(value), 4) for key, value in facts.items()}


@contextmanager
def in_subprocess(
    build: Callable[..., dict[str, Work]],
    *given: object,
    threads: int,
    cpu_time: bool,
    keep_memory: bool,
    before_s: float = 0.0,
) -> Iterator[dict[str, Timed]]:
    """Run the work that `build` returns in a separate process with the default settings of the system.

    Args:
        build: A module-level function that returns pieces of work by name.
        *given: Its arguments.
        threads: Number of threads of PyTorch.
        cpu_time: Whether to measure processor time.
        keep_memory: Whether the process calls `keep_freed_memory`, as Striate does.
        before_s: Seconds of untimed repeats before every timed run; see `timed`.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    how = threads, cpu_time, keep_memory, before_s
    process = spawn.Process(target=_serve, args=(theirs, build, given, *how), daemon=True)
    mine = os.environ.pop("GOMP_SPINCOUNT", None)  # set by `spin_briefly`
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
    build: Callable[..., dict[str, Work]],
    given: tuple[object, ...],
    threads: int,
    cpu_time: bool,
    keep_memory: bool,
    before_s: float,
) -> None:
    """Run the work named on `pipe` and send its seconds back, until None arrives."""
    if keep_memory:
        keep_freed_memory()
    import torch

    torch.set_num_threads(threads)
    works = build(*given)
    pipe.send(list(works))
    while (who := pipe.recv()) is not None:
        pipe.send(timed(works[who], make_clock(cpu_time), before_s=before_s)())


def add_options(parser: argparse.ArgumentParser, threads: int) -> None:
    """Add the options that the benchmarks have in common.

    Args:
        parser: The parser of the benchmark.
        threads: Default number of threads.
    """
    parser.add_argument("--pairs", type=int, default=21, help="number of timed rounds")
    parser.add_argument("--threads", type=int, default=threads, help="number of threads of PyTorch")
    parser.add_argument("--cpu-time", action="store_true", help="measure processor time: fairer on a busy machine")
    parser.add_argument("--dry", action="store_true", help="print the results without writing them")
