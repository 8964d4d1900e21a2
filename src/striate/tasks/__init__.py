"""Tasks by name: every folder here that has a ``task.py`` is one."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from striate.core.errors import PlanError
from striate.core.registry import nearest

if TYPE_CHECKING:
    from striate.tasks.base import Task


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
