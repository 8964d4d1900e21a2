"""Memory does not grow with the number of images: `benchmarks/memory.py` on small samples."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "memory.py"


@pytest.fixture(scope="module")
def memory() -> ModuleType:
    spec = importlib.util.spec_from_file_location("memory_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_peak_memory_does_not_grow_with_the_number_of_images(
    memory: ModuleType, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_WEIGHTS", str(shared_data / "weights"))
    archive = shared_data / "cifar10" / "train.tar.xz"
    small, large = (memory.measure(count, archive, "mobilenet_v2") for count in (500, 2500))
    assert large["peak_mib"] < 1.15 * small["peak_mib"]
    assert large["peak_mib"] < 1000
