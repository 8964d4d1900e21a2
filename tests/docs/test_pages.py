"""The documentation is correct: commands parse, Python blocks are parts of the examples, links resolve."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

import striate
from striate.cli.app import app
from striate.records.recipes import Recipe, recipe, recipe_names

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = sorted((ROOT / "docs" / "networks").glob("*.md"))
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md")), *NETWORKS]
IDS = [page.name for page in PAGES]
GUIDES = [page for page in PAGES if page.name not in ("CHANGELOG.md", "design.md")]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(striate [^`]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def _commands() -> list[str]:
    found = []
    for page in PAGES:
        lines = [line for body in _blocks(page, "sh") for line in body.splitlines()]
        found += [line.strip() for line in lines if line.startswith("striate ")]
        prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
        found += [each for each in _INLINE.findall(prose) if " -" in each or page in GUIDES]
    return sorted(set(found))


@pytest.mark.parametrize("line", _commands())
def test_commands_parse(line: str) -> None:
    """The command exists and accepts the arguments."""
    _, verb, *arguments = shlex.split(line, comments=True)
    group = typer.main.get_group(app)
    if verb.startswith("-"):
        assert verb in {option for each in group.params for option in each.opts} | {"--help", "-h"}
        return
    command = group.commands.get(verb)
    assert command is not None, f"there is no striate {verb}"
    if arguments:
        command.make_context(verb, list(arguments))
        if "--recipe" in arguments:
            named = arguments[arguments.index("--recipe") + 1]
            assert named in recipe_names() or named in {file for file, _ in _recipes()}


def _recipes() -> list[tuple[str, str]]:
    """Recipes in the documentation: the file name in the first line, and the text."""
    found = [body for page in GUIDES for body in _blocks(page, "toml")]
    return [(named[1], body) for body in found if (named := re.match(r"# (\S+\.toml)\b", body))]


def test_recipes_in_the_documentation_are_valid(tmp_path: Path) -> None:
    assert _recipes()
    for name, body in _recipes():
        (tmp_path / name).write_text(body, encoding="utf-8")
        assert recipe(str(tmp_path / name)) != Recipe()


def test_there_are_commands_to_parse() -> None:
    assert len(_commands()) > 10


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_blocks_are_parts_of_examples(page: Path) -> None:
    if page.name == "design.md" or page in NETWORKS:  # design.md shows code style; docs/pages.py runs the others
        return
    scripts = [script.read_text(encoding="utf-8") for script in (ROOT / "examples").glob("*.py")]
    for block in _blocks(page, "python"):
        assert any(all(part in script for part in block.split("\n\n")) for script in scripts), block


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_resolve(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_tree_in_design_is_current() -> None:
    tree = _blocks(ROOT / "docs" / "design.md", "")[0]
    packages = {each.name for each in (ROOT / "src" / "striate").iterdir() if (each / "__init__.py").is_file()}
    named = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    assert named == packages
    missing = [file for file in re.findall(r"\b(\w+\.py)\b", tree) if not list((ROOT / "src" / "striate").rglob(file))]
    assert not missing


def test_citation_names_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == striate.__version__
    assert all({"name"} <= set(author) or {"family-names"} <= set(author) for author in citation["authors"])


def test_network_pages_are_current() -> None:
    """The files equal the output of `docs/pages.py`, which also runs every example."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "pages.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_benchmark_figures_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
