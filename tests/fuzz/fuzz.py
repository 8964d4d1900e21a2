"""Damages valid files at random and reads them: every reader must read them or raise a `StriateError`.

    python tests/fuzz/fuzz.py --cases 100000
    python tests/fuzz/fuzz.py --readers zip tar --cases 2000 --seed 7

Every reader runs in a process of its own with limits of time and memory. The command prints a row per reader. It exits
with 1 if one of them raised another exception, crashed, took over 10 s or took over 1 GiB, and keeps the file that did
it in --keep.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

LIMIT_S, LIMIT_BYTES = 10.0, 1 << 30
INTERESTING = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\x80",
    b"\x80\0\0\0",
    b"999999999999",
    b"-1",
)
WORDS = (b"nan", b"1e999", b"null", b"[", b"{", b'"', b"..", b"/", b"\0", b"\xc3\x28", b"True", b"-", b"0")

Change = tuple[str, float, float, int]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["bit", "byte", "number", "word", "cut", "repeat", "drop", "end", "swap"]),
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def changed(content: bytes, changes: list[Change]) -> bytes:
    """The content after a few small changes, each at a fraction of its length."""
    data = bytearray(content)
    for kind, at, other, value in changes:
        here = int(at * len(data))
        length = 1 + int(other * other * min(len(data), 64))
        if kind == "bit" and data:
            data[here] ^= 1 << value % 8
        elif kind == "byte" and data:
            data[here] = value
        elif kind == "number":
            word = INTERESTING[value % len(INTERESTING)]
            data[here : here + len(word)] = word
        elif kind == "word":
            data[here:here] = WORDS[value % len(WORDS)]
        elif kind == "cut":
            del data[here : here + length]
        elif kind == "repeat":
            data[here:here] = bytes(data[here : here + length]) * (1 + value % 4)
        elif kind == "drop":
            del data[: min(here, 64)]
        elif kind == "end":
            del data[here:]
        elif kind == "swap" and data:
            there = int(other * len(data))
            data[here], data[there] = data[there], data[here]
    return bytes(data)


def fuzz(name: str, cases: int, start: int, folder: Path) -> dict[str, float | int | str]:
    """Read damaged files in this process, and count what became of them.

    Raises:
        Exception: What a reader raised that is no `StriateError`, on the smallest file that was found.
    """
    from fuzz_readers import READERS, case

    from striate.core.errors import StriateError

    warnings.simplefilter("ignore")
    reader, outcome = READERS[name], Counter[str]()
    valid = list(reader.seeds())
    for content in valid:
        reader.read(case(reader, folder, content))  # what is to be damaged is read as it is
    before, slowest = _resident(), 0.0
    _limit()

    @seed(start)
    @settings(
        max_examples=cases, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )  # fmt: skip
    @given(st.sampled_from(valid), CHANGES)
    def check(content: bytes, changes: list[Change]) -> None:
        nonlocal slowest
        place = case(reader, folder, changed(content, changes))
        faulthandler.dump_traceback_later(LIMIT_S, exit=True)
        began = time.perf_counter()
        try:
            reader.read(place)
            outcome["read"] += 1
        except StriateError:
            outcome["refused"] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
            slowest = max(slowest, time.perf_counter() - began)
        grown = _resident() - before
        assert grown < LIMIT_BYTES, f"memory grew by {grown >> 20} MiB"

    began = time.perf_counter()
    check()
    return {
        "reader": name, "cases": sum(outcome.values()), "read": outcome["read"], "refused": outcome["refused"],
        "seconds": time.perf_counter() - began, "slowest_s": slowest, "grown_mib": (_resident() - before) >> 20,
    }  # fmt: skip


def _resident() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _limit() -> None:
    """Bound the address space, where the system says how much of it is used."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        now = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 4 * LIMIT_BYTES, now + 4 * LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(name: str, cases: int, start: int, keep: Path) -> tuple[dict[str, float | int | str] | None, str]:
    """Fuzz one reader in a process of its own.

    Returns:
        The counts, or None and what went wrong, with the folder of the file that did it.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "case"
        command = [sys.executable, __file__, "--inside", name, "--cases", str(cases), "--seed", str(start)]
        done = subprocess.run([*command, "--keep", str(place)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1]), ""
        keep.mkdir(parents=True, exist_ok=True)
        kept = keep / f"{name}-{start}"
        shutil.rmtree(kept, ignore_errors=True)
        if place.exists():
            shutil.copytree(place, kept)
        return None, f"exit {done.returncode}; the file is in {kept}\n{done.stderr[-3000:]}"


def main() -> int:
    """Fuzz the readers, and print a table."""
    from fuzz_readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", nargs="*", choices=list(READERS), default=list(READERS))
    parser.add_argument("--cases", type=int, default=100_000, help="cases in all")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(fuzz(asked.inside, asked.cases, asked.seed, asked.keep)))
        return 0
    weights = {name: 0.05 if READERS[name].slow else 1.0 for name in asked.readers}
    failed = 0
    print(
        f"seed {asked.seed}\n{'reader':12} {'cases':>7} {'read':>7} {'refused':>7} {'s':>6} {'slowest':>8} {'MiB':>5}"
    )
    for name, weight in weights.items():
        counts, wrong = run(name, max(1, round(asked.cases * weight / sum(weights.values()))), asked.seed, asked.keep)
        if counts is None:
            failed += 1
            print(f"{name:12} {wrong}", flush=True)
        else:
            print(
                f"{name:12} {counts['cases']:7} {counts['read']:7} {counts['refused']:7} {counts['seconds']:6.0f} "
                f"{counts['slowest_s']:7.2f}s {counts['grown_mib']:5}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
