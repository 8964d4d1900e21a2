"""The registry of named entries."""

from __future__ import annotations

import pytest

from striate.core.errors import UnknownModelError
from striate.core.registry import Registry, nearest


def test_unknown_name_suggests_similar_names() -> None:
    registry: Registry[int] = Registry("network", UnknownModelError)
    registry.add("resnet50", 50, aliases=("rn50",))
    assert registry.get("rn50") == 50
    with pytest.raises(UnknownModelError, match="did you mean resnet50"):
        registry.get("ResNet-5O")


def test_names_and_aliases_are_unique() -> None:
    registry: Registry[int] = Registry("network", UnknownModelError)
    registry.add("resnet50", 50, aliases=("rn50",))
    for name, aliases in (("resnet50", ()), ("rn50", ()), ("other", ("rn50",))):
        with pytest.raises(ValueError, match="registered"):
            registry.add(name, 0, aliases=aliases)
    assert registry.names() == ["resnet50"]
    assert registry.aliases("resnet50") == ("rn50",)


def test_nearest_ignores_case_hyphens_and_underscores() -> None:
    assert nearest("Mobile-Net_V2", ["resnet50", "mobilenet_v2"]) == ["mobilenet_v2"]
    assert nearest("zebra", ["resnet50"]) == []
