"""Tasks by name: every folder here that has a ``task.py`` is one."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, TypeVar

from striate.core.errors import PlanError
from striate.core.registry import nearest
from striate.records import io

if TYPE_CHECKING:
    from striate.tasks.base import Task

T = TypeVar("T")


def names() -> tuple[str, ...]:
    """The names of all tasks, without importing any of them."""
    return tuple(sorted(each.name for each in iter_modules(__path__) if each.ispkg))


def get(name: str) -> type[Task]:
    """The task called `name`.

    Raises:
        PlanError: There is none; the hint has the nearest names.
    """
    if name not in names():
        close = nearest(name, list(names()))
        hint = f"did you mean {', '.join(close)}?" if close else f"tasks: {', '.join(names())}"
        raise PlanError(f"there is no task {name!r}", hint=hint)
    return import_module(f"{__name__}.{name}.task").TASK


def record(kind: type[T], value: dict[str, Any]) -> T:
    """A `FitRecord` or `TrainRecord` from JSON; its task defines the types of the scores and the probes.

    Raises:
        TypeError: A key is unknown or missing, or a value is not of its type.
        PlanError: There is no task of the name in ``task``.
    """
    task = get(value.get("task", "classify"))
    score = task.score_type

    def read(row: dict[str, Any], key: str) -> dict[str, Any]:
        found = row.get(key)
        return row | {key: io.from_json(score, found)} if isinstance(found, dict) else row

    value = read(read(value, "test"), "validation")
    if "depth" in value:
        value = value | {"depth": [io.from_json(task.probe_type, row) for row in value["depth"]]}
    if "candidates" in value:
        value = value | {"candidates": [read(each, "validation") for each in value["candidates"]]}
    return io.from_json(kind, value)
