"""The public surfaces speak the field's language: none of the words that the glossary replaces stands in them."""

from __future__ import annotations

import pytest
from language import RULES, Rule, Surface, files, found_in, helps, literals, pages

SURFACES = {"pages": pages, "literals": literals, "files": files, "help": helps}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.use)
def test_a_rule_finds_what_it_is_for_and_nothing_else(rule: Rule) -> None:
    assert rule.samples
    for text in rule.samples:
        assert list(rule.hits(text)), text
    for text in rule.fine:
        assert not list(rule.hits(text)), text


def test_a_hit_names_file_line_and_what_to_write() -> None:
    assert found_in(Surface("README.md", 3, "one\ntwo pictures")) == ["README.md:4: 'pictures'; use: image"]


@pytest.mark.parametrize("kind", SURFACES)
def test_public_text_uses_the_words_of_the_field(kind: str) -> None:
    found = list(SURFACES[kind]())
    assert found
    hits = [hit for surface in found for hit in found_in(surface)]
    assert not hits, "\n" + "\n".join(hits)
