"""keep_freed_memory makes glibc reuse freed blocks."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = """
import ctypes, resource
from striate.core.memory import keep_freed_memory
active = keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
before = 0
for turn in range(6):
    block = libc.malloc(100 << 20)
    ctypes.memset(block, 1, 100 << 20)
    libc.free(block)
    if turn == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(active, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def probe(**environment: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, env=environment)
    active, faults = done.stdout.split()
    return active, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_blocks_are_reused_without_page_faults():
    active, faults = probe()
    if active == "False":
        pytest.skip("not glibc")
    assert faults < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_thresholds_set_by_the_user_are_kept():
    active, faults = probe(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    assert active == "False"
    assert faults > 10_000 or sys.platform != "linux"
