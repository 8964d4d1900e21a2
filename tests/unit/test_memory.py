"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = """
import ctypes, resource
from striate.core.memory import keep_freed_memory
took = keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
before = 0
for turn in range(6):
    block = libc.malloc(100 << 20)
    ctypes.memset(block, 1, 100 << 20)
    libc.free(block)
    if turn == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def probe(**environment: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, env=environment)
    took, faults = done.stdout.split()
    return took, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_blocks_asked_for_again_are_not_mapped_anew():
    took, faults = probe()
    if took == "False":
        pytest.skip("not glibc")
    assert faults < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_users_own_thresholds_are_left_alone():
    took, faults = probe(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    assert took == "False"
    assert faults > 10_000 or sys.platform != "linux"
