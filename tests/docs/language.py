"""The project's language: words that its public surfaces avoid, and the field's words that they use instead.

`python tests/docs/language.py` prints every hit as FILE:LINE, the words found, and what to write; `test_language.py`
asserts that there is none. The surfaces are the README, docs/**/*.md, the help of every command, every docstring and
string literal in src, and the files that src renders or reads (templates, recipes, the catalogue of weights).
The rules are in language.toml.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
KEYED = {"derive", "generator", "uniforms", "of_image"}
"""Their string arguments are keys of random draws and of the cache. They never change, because results would too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the glossary.

    Args:
        use: What to write instead.
        bad: Regular expressions of what to avoid.
        good: Regular expressions of phrases in which the words are right.
        samples: Texts that the rule must find.
        fine: Texts in which the rule must find nothing.
    """

    use: str
    bad: tuple[str, ...]
    good: tuple[str, ...]
    samples: tuple[str, ...]
    fine: tuple[str, ...]

    def hits(self, text: str) -> Iterator[tuple[int, str]]:
        """Position and words of every hit."""
        if self.good:
            text = _any(self.good).sub(lambda found: re.sub(r"\S", "_", found[0]), text)
        for found in _any(self.bad).finditer(text):
            yield found.start(), " ".join(found[0].split())


@cache
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in patterns).replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE)


def _rules() -> Iterator[Rule]:
    rows = tomllib.loads((Path(__file__).parent / "language.toml").read_text(encoding="utf-8"))["rule"]
    for row in rows:
        yield Rule(use=row["use"], **{name: tuple(row.get(name, ())) for name in ("bad", "good", "samples", "fine")})


RULES = tuple(_rules())


@dataclass(frozen=True, slots=True)
class Surface:
    """A text that users read: where it stands, the line of its beginning, and the text."""

    path: str
    line: int
    text: str


def pages() -> Iterator[Surface]:
    """README, CONTRIBUTING and every page below docs. The changelog also names what was renamed, so it is left out."""
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        yield Surface(_name(path), 1, path.read_text(encoding="utf-8"))


def literals() -> Iterator[Surface]:
    """Every docstring and string literal in src: messages, hints, notes, progress phases, JSON keys."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        keys = {
            id(word)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and _called(call) in KEYED
            for word in ast.walk(call)
            if isinstance(word, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in keys:
                yield Surface(_name(path), node.lineno, node.value)


def _called(call: ast.Call) -> str:
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def files() -> Iterator[Surface]:
    """What src renders or reads: templates of the report and the model card, recipes, catalogues."""
    for pattern in ("*.html", "*.jinja", "*.toml"):
        for path in sorted(SOURCE.rglob(pattern)):
            yield Surface(_name(path), 1, path.read_text(encoding="utf-8"))


def helps() -> Iterator[Surface]:
    """`--help` of every command, as it is printed."""
    import typer

    from striate.cli.app import app

    group = typer.main.get_group(app)
    top = group.make_context("striate", [], resilient_parsing=True)
    yield Surface("striate --help", 1, group.get_help(top))
    for name, command in group.commands.items():
        context = command.make_context(name, [], parent=top, resilient_parsing=True)
        yield Surface(f"striate {name} --help", 1, command.get_help(context))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def surfaces() -> Iterator[Surface]:
    """All of them."""
    yield from pages()
    yield from literals()
    yield from files()
    yield from helps()


def found_in(surface: Surface) -> list[str]:
    """One line per hit: FILE:LINE, the words, and what to write instead."""
    hits = []
    for rule in RULES:
        for start, words in rule.hits(surface.text):
            line = surface.line + surface.text.count("\n", 0, start)
            hits.append(f"{surface.path}:{line}: {words!r}; use: {rule.use}")
    return hits


if __name__ == "__main__":
    lines = list(dict.fromkeys(hit for surface in surfaces() for hit in found_in(surface)))
    print("\n".join(lines))
    sys.exit(f"{len(lines)} hits" if lines else 0)
