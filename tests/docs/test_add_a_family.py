"""The family that the guide adds keeps every promise that the tests ask of the package's own."""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

import striate
from striate.models import REGISTRY, Entry
from striate.models.registry import with_options

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("checks_of_families", ROOT / "tests" / "contract" / "checks.py")
assert SPEC is not None
assert SPEC.loader is not None
checks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(checks)
CHECKS = [check for name, check in vars(checks).items() if name.startswith("check_")]


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The example's registration, which lasts as long as the test."""
    monkeypatch.setattr(REGISTRY, "_entries", dict(REGISTRY._entries))
    runpy.run_path(str(ROOT / "examples" / "all_cnn.py"), run_name="all_cnn")
    return REGISTRY.get("all_cnn_c")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_promise(entry: Entry, check: Callable[[Entry], None]) -> None:
    check(entry)


def test_every_variant_is_built_by_name_and_counts_as_computed_by_hand(entry: Entry) -> None:
    def conv(kernel: int, channels: int, width: int) -> int:
        return kernel * kernel * channels * width + width

    shared = conv(3, 96, 96) + 2 * conv(3, 192, 192) + conv(1, 192, 192) + conv(1, 192, 10)
    between = {
        "all_cnn_a": conv(5, 3, 96) + conv(5, 96, 192),
        "all_cnn_b": conv(5, 3, 96) + conv(1, 96, 96) + conv(5, 96, 192) + conv(1, 192, 192),
        "all_cnn_c": conv(3, 3, 96) + conv(3, 96, 96) + conv(3, 96, 192) + conv(3, 192, 192),
    }
    for name, own in between.items():
        assert sum(each.numel() for each in striate.create_model(name).parameters()) == own + shared


def test_nonsense_is_refused(entry: Entry) -> None:
    for option, value in (("kernels", ()), ("kernels", (0,)), ("width", 0), ("dropout", 1.0)):
        with pytest.raises(striate.StriateError, match=option):
            with_options(entry.spec, {option: value})
