"""The folder of networks reads as history: a family builds on papers before its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import striate.models
from striate.core.paper import Paper
from striate.models import entries

FOLDER = Path(striate.models.__file__).parent
PAPERS: dict[str, Paper] = {entry.family: entry.paper for entry in entries()}
NO_FAMILIES = ("__init__", "auxiliary", "backbone", "cut", "network", "own", "pixels", "registry", "whiten")
FAMILIES = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in NO_FAMILIES)


def later_imports(source: str, paper: Paper, papers: dict[str, Paper]) -> list[str]:
    """Families that `source` imports from although their papers are later."""
    modules = [node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    families = [module.removeprefix("striate.models.") for module in modules if module.startswith("striate.models.")]
    return [name for name in families if name not in NO_FAMILIES and papers[name].date > paper.date]


def test_every_file_registers_a_family() -> None:
    assert sorted(PAPERS) == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_imports_only_from_earlier_papers(family: str) -> None:
    source = (FOLDER / f"{family}.py").read_text(encoding="utf-8")
    assert later_imports(source, PAPERS[family], PAPERS) == []


def test_a_violation_is_reported() -> None:
    assert later_imports("from striate.models.resnet import Residual", PAPERS["vgg"], PAPERS) == ["resnet"]
    assert later_imports("from striate.models.resnet import Residual", PAPERS["mobilenet_v2"], PAPERS) == []
