"""The product knows tasks by their contract: only the classifiers' own face imports a task by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import striate
from striate import tasks

PACKAGE = Path(striate.__file__).parent
OF_CLASSIFIERS = ("tasks", "api", "sklearn")


def imported(file: Path) -> Iterator[str]:
    """Every module, and every name of a module, that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_no_job_imports_a_task_by_its_name() -> None:
    files = [each for each in PACKAGE.rglob("*.py") if each.relative_to(PACKAGE).parts[0] not in OF_CLASSIFIERS]
    assert any("striate.tasks.base" in name for each in files for name in imported(each))
    known = tuple(f"striate.tasks.{name}." for name in tasks.names())
    assert "striate.tasks.classify." in known
    found = {(str(each), name) for each in files for name in imported(each) if f"{name}.".startswith(known)}
    assert found == set()
