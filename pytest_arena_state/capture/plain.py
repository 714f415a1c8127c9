"""Any object as dicts, lists and plain values, without knowing its library.

Fields of pydantic models, dataclasses, attrs classes and simple objects become dicts; a field
that is None is left out, because libraries declare many and fill few, while dicts keep their
nulls: those may be somebody's tool arguments. A `Message` of ours stays as it is.

Nothing raises and nothing is consumed: an iterator is not read, a property is not asked, a
cycle or an object that refuses to be looked at becomes its shortened repr.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .._text import shortened
from .._wire import MAX_DEPTH, Problems, jsonable
from ..messages import Message


def plain(value: object) -> Any:
    """Copy a value as plain data."""
    return _plain(value, ())


def attribute(value: object, name: str) -> Any:
    """An attribute, or None where there is none or asking for it raises."""
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 - a property of a foreign class may raise anything
        return None


def called(value: object, method: str) -> Any:
    """What a method without arguments returns, or None where there is none or it raises."""
    function = attribute(value, method)
    if not callable(function):
        return None
    try:
        return function()
    except Exception:  # noqa: BLE001 - the same holds for a method
        return None


def _plain(value: Any, path: tuple[int, ...]) -> Any:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is Message:
        return value
    if id(value) in path or len(path) >= MAX_DEPTH:
        return shortened(value)
    inner = (*path, id(value))
    try:
        if isinstance(value, Mapping):
            return {key if type(key) is str else _key(key): _plain(item, inner) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [_plain(item, inner) for item in value]
        fields = _fields(value)
        if fields is None:
            problems: Problems = []
            converted = jsonable(value, problems)
            if not problems:
                return converted
            fields = _public_values(value)
            if fields is None:
                return converted
        return {name: _plain(item, inner) for name, item in fields.items() if item is not None}
    except Exception:  # noqa: BLE001 - even isinstance asks the object, and that may raise anything
        return shortened(value)


def _key(key: object) -> str:
    return str(next(iter(jsonable({key: None}))))


def _fields(value: Any) -> dict[str, Any] | None:
    kind = type(value)
    declared = getattr(kind, "__pydantic_fields__", None)
    if isinstance(declared, dict):
        # From the instance's dict: SDKs build objects without validation, and then fields may be missing.
        values = vars(value)
        known = {name: values[name] for name in declared if name in values}
        extra = getattr(value, "__pydantic_extra__", None)
        return {**known, **extra} if isinstance(extra, dict) else known
    if dataclasses.is_dataclass(kind):
        return {field.name: attribute(value, field.name) for field in dataclasses.fields(kind)}
    attrs = getattr(kind, "__attrs_attrs__", None)
    return None if attrs is None else {entry.name: attribute(value, entry.name) for entry in attrs}


def _public_values(value: Any) -> dict[str, Any] | None:
    kind = type(value)
    if isinstance(value, type) or callable(value) or kind.__module__ == "unittest.mock":
        return None
    values = getattr(value, "__dict__", None)
    if not isinstance(values, dict):
        return None
    return {name: item for name, item in values.items() if isinstance(name, str) and not name.startswith("_")} or None
