"""No file of the package has more than 400 lines, and no function of its jobs and of transfer more than 60."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import striate

PACKAGE = Path(striate.__file__).parent
MOST_LINES_A_FILE, MOST_LINES_A_FUNCTION = 400, 60


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file, with its number of lines from ``def`` to its end."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_are_short() -> None:
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}
    assert len(lines) > 100
    assert {str(file): n for file, n in lines.items() if n > MOST_LINES_A_FILE} == {}


def test_functions_of_jobs_and_transfer_are_short() -> None:
    files = [file for folder in ("jobs", "transfer") for file in (PACKAGE / folder).rglob("*.py")]
    found = [(f"{file.relative_to(PACKAGE)}: {name}", n) for file in files for name, n in functions(file)]
    assert len(found) > 100
    assert [each for each in found if each[1] > MOST_LINES_A_FUNCTION] == []
