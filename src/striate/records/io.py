"""Records to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from striate.core.atomic import write_text

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A record as dicts, lists, strings and numbers; numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(kind: type[T], value: Any) -> T:
    """A record of class `kind` from what `to_json` gave; unknown keys are an error, missing ones take defaults."""
    return _build(kind, value)


def _build(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _build(hints[name], each) for name, each in value.items()})
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_build(arguments[0], each) for each in value)
        return tuple(_build(a, each) for a, each in zip(arguments, value, strict=True))
    if origin is dict:
        return {k: _build(arguments[1], v) for k, v in value.items()}
    if origin is list:
        return [_build(arguments[0], v) for v in value]
    if kind is float and isinstance(value, int):
        return float(value)
    return value


def dumps(value: Any) -> str:
    """A record as an indented JSON document with a newline at its end."""
    return json.dumps(to_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(path: str | Path, value: Any) -> None:
    """Write a record as JSON, whole or not at all."""
    write_text(path, dumps(value))


def read(path: str | Path) -> Any:
    """The JSON document at `path`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
