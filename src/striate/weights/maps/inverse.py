"""Name maps read backwards: our tensors under another library's names.

A row's target becomes a pattern, and its pattern a template: optional parts are left out, of alternatives the first is
taken. Every name that comes out is read forwards again, so a row that cannot be read backwards gives an error instead
of a wrong name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from striate.core.errors import CheckpointError
from striate.weights.maps.rules import Row, Rule

_SLOT = re.compile(r"\{(\d+)(?:([+-]\d+))?\}")
_PART = re.compile(
    r"\((?!\?)(?P<group>[^()]*)\)"  # what a slot of the target takes up
    r"|\(\?:(?P<one>[^()]*)\)(?P<maybe>\?)?"
    r"|\\(?P<escaped>\W)(?P<left>\?)?"
    r"|(?P<plain>[\w/-])"
)


def renamed(state: Mapping[str, Tensor], rows: Sequence[Row]) -> dict[str, Tensor]:
    """Our tensors as another library names and shapes them.

    Args:
        state: By our names.
        rows: The map of the other library's names to ours.

    Raises:
        CheckpointError: The other library has no name for a tensor, or more than one.
    """
    rules = [row for row in rows if isinstance(row, Rule) and not row.subtract]
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        rule, theirs = _theirs(rules, name)
        result[theirs] = (rule.back(tensor) if rule.back is not None else tensor).contiguous()
    return result


def _theirs(rules: Sequence[Rule], name: str) -> tuple[Rule, str]:
    """The only name that the rows have for one of our tensors, and the row that reads it."""
    found: dict[str, Rule] = {}
    for rule in rules:
        theirs = _name(rule, name)
        if theirs is not None:
            first = next((each for each in rules if each.rename(theirs) is not None), None)
            if first is not None and first.rename(theirs) == name and (first.move is None or first.back is not None):
                found[theirs] = first
    if len(found) != 1:
        several = f"several names ({', '.join(found)})" if found else "no name"
        raise CheckpointError(f"the other library has {several} for {name}", hint="publish it by our own names")
    theirs, rule = next(iter(found.items()))
    return rule, theirs


def _name(rule: Rule, ours: str) -> str | None:
    """The other library's name of one tensor by one row; None where the row does not give our name."""
    groups: list[str] = []
    template = ""
    for part in _PART.finditer(rule.pattern):
        if part["group"] is not None:
            groups.append(part["group"])
            template += f"{{{len(groups)}}}"
        elif part["one"] is not None:
            template += "" if part["maybe"] else part["one"].split("|")[0].replace("\\", "")
        elif part["escaped"] is not None:
            template += "" if part["left"] else part["escaped"]
        else:
            template += part["plain"]
    pattern, slots, end = "", [], 0
    for slot in _SLOT.finditer(rule.target):
        pattern += re.escape(rule.target[end : slot.start()])
        pattern += r"(\d+)" if slot[2] else f"({groups[int(slot[1]) - 1]})"
        slots.append((int(slot[1]), int(slot[2] or 0)))
        end = slot.end()
    match = re.fullmatch(pattern + re.escape(rule.target[end:]), ours)
    if match is None or {number for number, _ in slots} != set(range(1, len(groups) + 1)):
        return None
    values = {
        number: str(int(match[place]) - added) if added else match[place]
        for place, (number, added) in enumerate(slots, start=1)
    }
    return re.sub(r"\{(\d+)\}", lambda slot: values[int(slot[1])], template)
