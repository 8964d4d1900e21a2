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

OPTIONAL = {"optional": True}
"""Metadata of a field that JSON leaves out while it is None."""


def to_json(value: Any) -> Any:
    """A record as dicts, lists, strings and numbers; NaN and infinite values become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: (getattr(value, f.name), f.metadata) for f in dataclasses.fields(value)}
        return {k: to_json(v) for k, (v, facts) in fields.items() if v is not None or "optional" not in facts}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(kind: type[T], value: Any) -> T:
    """A record of class `kind` from what `to_json` gave, or from TOML; missing keys take defaults.

    Raises:
        TypeError: A key is unknown or missing, or a value is not of its kind; the message says where.
        ValueError: The record itself refuses a value.
    """
    return _build(kind, value)


def _build(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value)
    if origin in (typing.Union, types.UnionType):
        return _either(arguments, value)
    if origin is typing.Literal:
        if value not in arguments:
            raise TypeError(f"{' or '.join(map(repr, arguments))} is wanted; got {value!r}")
        return value
    if origin in (tuple, list):
        _require(list, value)
        if origin is list:
            return [_build(arguments[0], v) for v in value]
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_build(arguments[0], each) for each in value)
        if len(value) != len(arguments):
            raise TypeError(f"{len(arguments)} values are wanted; got {value!r}")
        return tuple(_build(a, each) for a, each in zip(arguments, value, strict=True))
    if origin is dict:
        _require(dict, value)
        return {k: _build(arguments[1], v) for k, v in value.items()}
    if kind is float:
        if value is None:  # as `to_json` writes a number that is not finite
            return value
        return _finite(float(value if type(value) is int else _require(float, value)))
    if kind is int:
        return _bounded(_require(int, value))
    return _require(kind, value) if kind in _WORDS else value


def _finite(value: float) -> float:
    """A number that JSON and TOML can write as NaN or infinite, and no record means so."""
    if not math.isfinite(value):
        raise ValueError(f"a finite number is wanted; got {value}")
    return value


def _bounded(value: int) -> int:
    """A whole number that fits into 64 bits; others overflow wherever they are used."""
    if abs(value) >= 1 << 63:
        raise ValueError("a whole number below 2 ** 63 is wanted")
    return value


_WORDS = {float: "a number", int: "a whole number", str: "text", bool: "true or false", list: "a list", dict: "a table"}


def _require(kind: Any, value: Any) -> Any:
    """The value; a bool does not count as a number."""
    if type(value) is not kind:
        raise TypeError(f"{_WORDS[kind]} is wanted; got {value!r}")
    return value


def _record(kind: type, value: Any) -> Any:
    _require(dict, value)
    hints, found = typing.get_type_hints(kind), {}
    for name, each in value.items():
        if name not in hints:
            raise TypeError(f"{name!r} is none of {', '.join(hints)}")
        try:
            found[name] = _build(hints[name], each)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error
    return kind(**found)


def _either(kinds: tuple[Any, ...], value: Any) -> Any:
    """The value as the first of several kinds that takes it."""
    if value is None and type(None) in kinds:
        return None
    refused = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return _build(kind, value)
            except TypeError as error:
                refused.append(str(error))
    raise TypeError("; or ".join(refused))


def dumps(value: Any, *, ascii_only: bool = False) -> str:
    """A record as an indented JSON document with a newline at its end.

    Args:
        value: The record.
        ascii_only: Whether characters beyond ASCII are escaped.
    """
    return json.dumps(to_json(value), indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"


def write(path: str | Path, value: Any) -> None:
    """Write a record as JSON, whole or not at all."""
    write_text(path, dumps(value))


def read(path: str | Path) -> Any:
    """The JSON document at `path`.

    Raises:
        OSError: The file cannot be read, or is no regular file.
        ValueError: It is no JSON, or nested too deeply.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(f"{path} is not a regular file")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
