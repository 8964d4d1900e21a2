"""Every family keeps the promise of `StagedModel`, and of its kind: a family added is a family tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import checks
import dense_checks
import pytest

from striate.models import DenseModel, Entry, ImageModel, entries

# by its last network; a family that has two tiny forms (for photographs, and for CIFAR) is held to it in both
FAMILIES = {each.name: each for each in {(each.family, each.tiny): each for each in entries()}.values()}
Check = Callable[[Entry], None]


def of(module: ModuleType) -> list[Check]:
    return [check for name, check in vars(module).items() if name.startswith("check_")]


def promises() -> Iterator[tuple[str, Check]]:
    for family, entry in FAMILIES.items():
        if entry.task == "classify":
            kept = of(checks)
        else:
            kept = [check for check in of(checks) if check not in checks.ONE_ANSWER] + of(dense_checks)
        yield from ((family, check) for check in kept)


@pytest.mark.parametrize(
    ("family", "check"), list(promises()), ids=lambda each: getattr(each, "__name__", each).removeprefix("check_")
)
def test_promise(family: str, check: Check) -> None:
    check(FAMILIES[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_class_of_a_network_matches_its_task(family: str) -> None:
    kind = {"classify": ImageModel, "segment": DenseModel}[FAMILIES[family].task]
    assert type(checks.build(FAMILIES[family])).__mro__[1] is kind
