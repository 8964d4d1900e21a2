"""Every family keeps the promise of `ImageModel`: a family added is a family tested."""

from __future__ import annotations

from collections.abc import Callable

import checks
import pytest

from striate.models import Entry, entries

FAMILIES = {entry.family: entry for entry in entries()}
CHECKS = [check for name, check in vars(checks).items() if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("family", FAMILIES)
def test_promise(family: str, check: Callable[[Entry], None]) -> None:
    check(FAMILIES[family])
