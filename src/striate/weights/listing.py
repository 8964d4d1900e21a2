"""Lists networks by name, without torch."""

from __future__ import annotations

from fnmatch import fnmatchcase

from striate.core.arguments import checked_arguments
from striate.core.errors import UnknownModelError
from striate.core.registry import nearest
from striate.records import zoo
from striate.weights import catalogue


@checked_arguments
def list_models(
    pattern: str = "*", *, family: str | None = None, task: str | None = None, weights: bool = False
) -> list[str]:
    """The names that `create_model` takes, oldest paper first.

    Args:
        pattern: A shell-style pattern that the name or an alias matches, such as ``"resnet*"``.
        family: Only networks of this family, such as ``"resnet"``; None lists all families.
        task: Only networks for ``"classify"`` or ``"segment"``; None lists both.
        weights: Whether to list only networks with published weights.

    Raises:
        UnknownModelError: There is no such family.

    Example:
        >>> list_models("resnet5*")
        ['resnet50', 'resnet56_cifar', 'resnet50v2']
        >>> list_models(family="mobilenet_v2", weights=True)
        ['mobilenet_v2']
    """
    if family is not None and family not in zoo.families():
        close = nearest(family, zoo.families()) or zoo.families()
        raise UnknownModelError(f"there is no family {family!r}", hint=f"families: {', '.join(close)}")
    return [
        row.name
        for row in zoo.rows()
        if any(fnmatchcase(name, pattern) for name in (row.name, *row.aliases))
        and family in (None, row.family)
        and task in (None, row.task)
        and (not weights or catalogue.entries_for(row.name))
    ]
