"""Go's JSON habits in one place: key names, empty values, and what is not JSON.

A `WireModel` accepts attribute names and JSON names alike, refuses unknown keys unless it
reads somebody's file (then it keeps them), and writes exactly the JSON of the reference.
`jsonable` turns any Python value into JSON without ever raising: telemetry must not fail a
test. What it had to shorten is named in the list of problems that it is given.
"""

from __future__ import annotations

import base64
import codecs
import dataclasses
import json
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema, from_json, to_json

from ._garbage import without_collections
from ._text import MAX_REPR, scrub_text, shortened
from ._times import INT64, format_time, nanoseconds, parse_duration, parse_time

JSON: TypeAlias = Any  # what json.loads can return; a recursive alias helps nobody who reads an error
Problems: TypeAlias = list[str]  # "field: what happened", one for each value that could not be kept as it was

MAX_DEPTH = 100  # levels inside a free-form value; JSON readers give up at about 200 in all

_BITS = 1023  # of an integer; readers that take it as a float, as Go does, hold no more for sure

# Editors and shells of Windows begin files with one. That of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "UTF-8 with one"),
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

_AS_TEXT = ", kept as text"
_ITSELF = "contains itself"
_OF_MANY = "one of many that contain each other"
_CUT = (f"{_ITSELF}{_AS_TEXT}", f"{_OF_MANY}{_AS_TEXT}")

# Objects that contain each other are written out again within one object:
_NEAR = 4  # levels below it
_OFTEN = 1000  # times

# What is written of one value: containers, maybe the same ones over and over, and texts in units of 256 characters.
_MOST = 1_000_000
_LONG_TEXT = 1000  # characters

_LONG = 100_000  # bytes of a document that is worth the pause of the garbage collector

#: Passed as validation context by readers of files: unknown keys are kept.
READING: Any = object()


# --- free-form values ---------------------------------------------------------


def jsonable(value: object, problems: Problems | None = None, where: str = "") -> JSON:
    """Copy a value as JSON: dicts with text keys, lists, text, finite numbers, booleans, None.

    Bytes become base64, sets sorted lists, exceptions ``"Type: message"``, objects with
    fields (dataclasses, pydantic and attrs models) dicts. Cycles, what objects that contain
    each other would repeat, what is nested more than 100 levels deep, what comes after a million
    containers and everything else become their repr, at most 200 characters, and ``problems``
    says where. Nothing is consumed: an iterator or a file is not read.
    """
    if problems is None:
        problems = []
    try:
        return _convert(value, problems, where, ())
    except RecursionError:  # called near the end of the stack
        return _give_up(value, problems, where, "nested too deep for what is left of the stack")


def _convert(value: Any, problems: Problems, where: str, path: tuple[int, ...]) -> JSON:
    kind = type(value)
    if kind is str:
        if len(value) > _LONG_TEXT and path and _is_too_much(len(value) >> 8, path):
            return _cut_off(value, problems, where)
        return value if value.isascii() else scrub_text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        if value.bit_length() <= _BITS:
            return value
        return _give_up(value, problems, where, f"an integer of over {_BITS} bits")
    if kind is float:
        return value if math.isfinite(value) else _non_finite(value)
    if kind is dict or kind is list or kind is tuple:
        if id(value) in path:
            return _give_up(value, problems, where, _ITSELF)
        if len(path) >= MAX_DEPTH:
            return _give_up(value, problems, where, f"nested over {MAX_DEPTH} levels deep")
        if _is_too_much(1 + (len(value) >> 4), path):
            return _cut_off(value, problems, where)
        inner = (*path, id(value))
        if kind is dict:
            return _convert_items(value.items(), problems, where, inner)
        return [_convert(item, problems, f"{where}[{i}]", inner) for i, item in enumerate(value)]
    try:
        return _convert_object(value, problems, where, path)
    except Exception as error:  # noqa: BLE001 - properties and conversions of a foreign class may raise anything
        return _give_up(value, problems, where, f"raised {type(error).__name__}")


def _convert_items(items: Any, problems: Problems, where: str, path: tuple[int, ...]) -> dict[str, JSON]:
    out: dict[str, JSON] = {}
    for key, item in items:
        name = key if type(key) is str and key.isascii() else _key(key)
        if name in out:
            problems.append(f"{where}.{shortened(name)}: two keys have the same text")
            while name in out:
                name = f"{name}~{len(out)}"
        out[name] = _convert(item, problems, f"{where}.{name}" if len(name) < MAX_REPR else where, path)
    return out


def _key(key: object) -> str:
    try:
        if isinstance(key, Enum):
            key = key.value
        if isinstance(key, str):
            return scrub_text(str.__str__(key))
        if key is None or isinstance(key, bool):
            return json.dumps(key)
        if isinstance(key, (int, float, UUID, PurePath, date)):
            return scrub_text(str(key))
    except Exception:  # noqa: BLE001 - a key of a foreign class may raise anything
        return shortened(key)
    return shortened(key)


def _non_finite(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _give_up(value: object, problems: Problems, where: str, why: str) -> str:
    problems.append(f"{where}: {why}{_AS_TEXT}")
    return shortened(value)


class _Spent(threading.local):
    """On the value that a thread is converting."""

    containers: float = 0


_spent = _Spent()


def _is_too_much(more: int, path: tuple[int, ...]) -> bool:
    # A few containers that hold each other many times over are more than any memory takes, written out.
    _spent.containers = spent = _spent.containers + more if path else more
    return spent > _MOST


def _cut_off(value: object, problems: Problems, where: str) -> str:
    if _spent.containers == math.inf:
        return "..."
    _spent.containers = math.inf  # one problem for all that follows
    return _give_up(value, problems, where, f"over {_MOST:,} containers with all before it")


def _convert_object(value: Any, problems: Problems, where: str, path: tuple[int, ...]) -> JSON:
    if isinstance(value, Enum):
        return _convert(value.value, problems, where, path)
    if isinstance(value, str):
        return scrub_text(str.__str__(value))
    if isinstance(value, bool | int):
        return _convert(int(value), problems, where, path)
    if isinstance(value, float):
        return _convert(float(value), problems, where, path)
    if isinstance(value, WireModel):
        return value.to_wire(problems, where)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return format_time(value) if value.tzinfo else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | PurePath | Decimal | Fraction):
        return scrub_text(str(value))
    if isinstance(value, BaseException):
        return scrub_text(f"{type(value).__name__}: {value}")
    if id(value) in path:
        return _give_up(value, problems, where, _ITSELF)
    if len(path) >= MAX_DEPTH:
        return _give_up(value, problems, where, f"nested over {MAX_DEPTH} levels deep")
    if _is_too_much(1, path):
        return _cut_off(value, problems, where)
    path = (*path, id(value))
    if isinstance(value, dict | MappingProxyType | Mapping):
        return _convert_items(list(value.items()), problems, where, path)
    if isinstance(value, list | tuple | deque):
        return [_convert(item, problems, f"{where}[{i}]", path) for i, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        # Sorted by their JSON: the order of a set changes from process to process.
        return sorted((_convert(item, problems, where, path) for item in value), key=lambda item: dumps(item))
    if isinstance(value, type):
        return _give_up(value, problems, where, "a class")
    names = _field_names(value)
    if names is not None:
        return _convert_fields(value, names, problems, where, path)
    if type(value).__module__.partition(".")[0] == "numpy" and callable(getattr(value, "tolist", None)):
        return _convert(value.tolist(), problems, where, path)  # scalars and arrays alike
    return _give_up(value, problems, where, f"a {type(value).__name__} is not JSON")


class _Circles(threading.local):
    """Within the object that a thread is converting: those that lead back into it, and how often they came up."""

    known: dict[int, object] | None = None
    again: int = 0
    depth: int = 0
    """Of the object itself."""


_circles = _Circles()


def _convert_fields(value: Any, names: list[str], problems: Problems, where: str, path: tuple[int, ...]) -> JSON:
    # Of eight objects that know each other, thousands of ways lead to each, and of twelve more than anybody waits for.
    outermost = _circles.known is None
    known: dict[int, object] = {} if _circles.known is None else _circles.known
    if outermost:
        _circles.known, _circles.again, _circles.depth = known, 0, len(path)
    try:
        if id(value) in known:
            _circles.again += 1
            if _circles.again > _OFTEN or len(path) > _circles.depth + _NEAR:
                return _give_up(value, problems, where, _OF_MANY)
        before = len(problems)
        fields = _convert_items([(name, getattr(value, name)) for name in names], problems, where, path)
        if any(problem.endswith(_CUT) for problem in problems[before:]):
            known[id(value)] = value  # held, so that its id stays its own
        return fields
    finally:
        if outermost:
            _circles.known = None


def _field_names(value: object) -> list[str] | None:
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if isinstance(value, BaseModel):
        return [*kind.model_fields, *(value.model_extra or ())]  # type: ignore[attr-defined]  # known by isinstance
    attrs = getattr(kind, "__attrs_attrs__", None)
    return None if attrs is None else [attribute.name for attribute in attrs]


# --- bytes ---------------------------------------------------------------------


def dumps(value: JSON, *, indent: int | None = None) -> bytes:
    """Serialise what `jsonable` or `to_wire` returned: UTF-8, compact or indented; lone surrogates become U+FFFD."""
    try:
        return to_json(value, indent=indent, inf_nan_mode="null")
    except Exception:  # noqa: BLE001 - a lone surrogate surfaces as different errors in different versions
        value = _scrub(value)
        try:
            return to_json(value, indent=indent, inf_nan_mode="null")
        except ValueError:
            if os.name != "nt":
                raise
            # There it gives up at a hundred levels, and `jsonable` lets as many through.
            separators = (",", ":") if indent is None else None
            return json.dumps(value, indent=indent, separators=separators, ensure_ascii=False).encode("utf-8")


def loads(text: bytes | str) -> JSON:
    """Parse JSON, accepting what strict parsers refuse: lone surrogates become U+FFFD.

    Raises:
        ValueError: It is not JSON in UTF-8, or nested deeper than a parser will go.
    """
    try:
        return from_json(text)
    except (ValueError, TypeError) as first:  # of a lone surrogate it says that it is no str
        if isinstance(text, bytes):
            if problem := problem_of_encoding(text):
                raise ValueError(problem) from None
            # Of bytes the parser would guess the encoding, and a line of UTF-16 ends within a character.
            text = text.decode("utf-8", "surrogatepass")
        try:
            return _scrub(json.loads(text))
        except RecursionError:
            raise ValueError(f"nested too deep: {first}") from None


def problem_of_encoding(start: bytes) -> str:
    """What a byte order mark at the start of a text says against it; empty where there is none."""
    there = next((name for mark, name in _MARKS if start.startswith(mark)), "")
    return f"UTF-8 without a byte order mark was wanted, {there} was there" if there else ""


def _scrub(value: JSON) -> JSON:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if isinstance(value, dict):
        scrubbed: dict[str, JSON] = {}
        for key, item in value.items():
            name = scrub_text(key)
            while name in scrubbed:  # two keys that only differed in what no file can hold
                name = f"{name}~{len(scrubbed)}"
            scrubbed[name] = _scrub(item)
        return scrubbed
    return value


# --- field types ----------------------------------------------------------------


class _AnyText:
    """Text with lone surrogates replaced; costs nothing while there are none."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A constraint, though of no effect, makes the core look at the text: it refuses lone surrogates then.
        text = core_schema.str_schema(min_length=0)
        scrubbing = core_schema.custom_error_schema(
            core_schema.union_schema(
                [text, core_schema.no_info_plain_validator_function(_scrub_or_refuse)], mode="left_to_right"
            ),
            custom_error_type="string_type",
        )
        # The parser of JSON refuses them itself, and `from_json` takes the slow way then.
        return core_schema.json_or_python_schema(json_schema=core_schema.str_schema(), python_schema=scrubbing)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string"}


def _scrub_or_refuse(value: object) -> str:
    if isinstance(value, str):
        return scrub_text(value)
    raise ValueError


class _Parsed:
    """A value that a function of ours reads and another one writes."""

    def __init__(self, read: Callable[[Any], Any], write: Callable[[Any], Any], schema: dict[str, Any]) -> None:
        self.read, self.write, self.schema = read, write, schema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(self.write, when_used="json")
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return self.schema


class _AnyKeys:
    """A map whose keys become text when it is written, like its values."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.dict_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "object"}


class _EmptyForNull:
    """A list or map for which ``None`` may be given."""

    def __init__(self, empty: Callable[[], Any]) -> None:
        self.empty = empty

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        empty = self.empty

        def replace_none(value: object) -> object:
            return empty() if value is None else value

        # JSON goes straight in, without a call into Python: a null there takes the slow way of `from_json`.
        return core_schema.json_or_python_schema(
            json_schema=inner, python_schema=core_schema.no_info_before_validator_function(replace_none, inner)
        )


Text = Annotated[str, _AnyText()]
#: What Go's int holds: a file with a larger number could not be read there at all.
Int = Annotated[int, Field(ge=-INT64, le=INT64 - 1)]
Time = Annotated[datetime | None, _Parsed(parse_time, format_time, {"type": "string", "format": "date-time"})]
Nanoseconds = Annotated[
    timedelta, _Parsed(parse_duration, nanoseconds, {"type": "integer", "description": "nanoseconds"})
]
NoneIsEmptyList = _EmptyForNull(list)
NoneIsEmptyMap = _EmptyForNull(dict)
#: A map of anything. Made JSON when it is saved, never refused.
FreeMap = Annotated[dict[str, Any], _AnyKeys(), NoneIsEmptyMap]
TextList = Annotated[list[Text], NoneIsEmptyList]
TextMap = Annotated[dict[Text, Text], NoneIsEmptyMap]


def _refuse_unless_reading(value: Any, info: ValidationInfo) -> Any:
    if info.context is READING:
        return value
    raise PydanticCustomError("unknown_key", "unknown key; from_dict and from_json keep unknown keys of files")


UnknownValue = Annotated[Any, BeforeValidator(_refuse_unless_reading)]


# --- models -----------------------------------------------------------------------

_Converter: TypeAlias = Callable[[Any, Problems, str], JSON]

_Plan: TypeAlias = tuple[str, str, bool, bool, type | None, _Converter | None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Column:
    name: str  # the attribute
    key: str  # the JSON name
    always: bool  # written even when empty
    pointer: bool  # a Go pointer: only None is empty
    kind: type | None  # of what is written as it is
    convert: _Converter | None


class WireModel(BaseModel):
    """A type of the wire format.

    Attributes are snake_case, JSON names are those of the reference; both are accepted as
    input. Unknown keys are refused, except by `from_dict` and `from_json`, which keep them
    and write them again. Assignments are validated.
    """

    model_config = ConfigDict(extra="allow", populate_by_name=True, validate_assignment=True, allow_inf_nan=False)
    if not TYPE_CHECKING:  # for which it would be an argument of every constructor
        # Unknown keys are values of this type, so known ones cost nothing for the check.
        __pydantic_extra__: dict[str, UnknownValue]

    #: JSON names that are written even when empty; "*" for all of them.
    always_written: ClassVar[frozenset[str]] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        """The wire form as dicts, lists and plain values."""
        return self.to_wire([], "")

    def to_json(self, indent: int | None = None) -> str:
        """The wire form as text; ``indent`` in spaces, None for one compact line."""
        return dumps(self.to_wire([], ""), indent=indent).decode("utf-8")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form, or attribute names; unknown keys are kept.

        Raises:
            pydantic.ValidationError: A known field has a wrong value; it is named.
        """
        try:
            return cls.model_validate(data, context=READING)
        except ValidationError:
            without = _without_nulls(cls, data)
            if without == data:
                raise
            return cls.model_validate(without, context=READING)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read the wire form from text; unknown keys are kept.

        Raises:
            pydantic.ValidationError: It is not JSON, or a known field has a wrong value.
        """
        try:
            if len(text) < _LONG:
                return cls.model_validate_json(text, context=READING)
            with without_collections():
                return cls.model_validate_json(text, context=READING)
        except ValidationError as error:
            try:
                data = loads(text)
            except ValueError:
                raise error from None
            return cls.from_dict(data) if isinstance(data, dict) else cls.model_validate(data, context=READING)

    def to_wire(self, problems: Problems, where: str) -> dict[str, Any]:
        """The wire form; ``problems`` gets a line for each value that could not be kept as it was.

        Raises:
            pydantic.ValidationError: A wrong type came past validation: in a list that was edited, by `model_copy`.
        """
        try:
            return self._write(problems, where)
        except (AttributeError, TypeError, KeyError):
            # Somebody put a dict where a model belongs: models are mutable. Take it if it is one.
            # Unknown keys stay apart: one may have a field's other name, and would take the field's place.
            fresh = type(self).model_validate(dict(self.__dict__), context=READING)
            fresh.__pydantic_extra__ = self.__pydantic_extra__
            return fresh._write(problems, where)

    def _write(self, problems: Problems, where: str) -> dict[str, Any]:
        return write_fields(type(self), self.__dict__, self.__pydantic_extra__, problems, where)


# As text, pydantic 2.7 would look the name up in the module of each subclass.
WireModel.__annotations__["__pydantic_extra__"] = dict[str, UnknownValue]


def write_fields(
    model: type[WireModel],
    values: Mapping[str, Any],
    extra: Mapping[str, Any] | None,
    problems: Problems,
    where: str,
) -> dict[str, Any]:
    """The wire form of a model with these values."""
    out: dict[str, Any] = {}
    for name, key, always, pointer, kind, convert in _PLANS.get(model) or _plan(model):
        value = values[name]
        # Of what may be anything, the truth is not asked: an array has none.
        if not always and (value is None or (not pointer and not value)):
            continue
        if convert is not None:
            out[key] = convert(value, problems, f"{where}.{key}" if where else key)
        elif (kind is str and type(value) is str) or (value is None and pointer) or _fits(value, kind):
            out[key] = value
        else:
            raise TypeError(key)  # it came past validation, as with `model_copy`; nobody could read the file
    if extra:
        for key, value in extra.items():
            if key not in out:
                out[key] = jsonable(value, problems, f"{where}.{key}" if where else key)
    return out


def _fits(value: Any, kind: type | None) -> bool:
    if kind is int:
        return type(value) is int and -INT64 <= value < INT64
    if kind is float:
        return type(value) is float and math.isfinite(value)
    return kind is not None and isinstance(value, kind)


_PLANS: dict[type, tuple[_Plan, ...]] = {}


def _plan(model: type[WireModel]) -> tuple[_Plan, ...]:
    # Plain tuples: this is the innermost loop of every save.
    plan = _PLANS[model] = tuple((c.name, c.key, c.always, c.pointer, c.kind, c.convert) for c in _columns(model))
    return plan


def plain_fields(model: type[WireModel]) -> list[str]:
    """The attributes whose values are text, numbers or truth values, and nothing else."""
    return [name for name, field in model.model_fields.items() if field.annotation in (str, int, float, bool)]


_COLUMNS: dict[type, tuple[_Column, ...]] = {}


def _columns(model: type[WireModel]) -> tuple[_Column, ...]:
    columns = _COLUMNS.get(model)
    if columns is None:
        always = model.always_written
        columns = _COLUMNS[model] = tuple(
            _Column(
                name=name,
                key=(key := field.serialization_alias or name),
                always=key in always or "*" in always,
                pointer=field.annotation is Any or _admits_none(field.annotation),
                kind=_plain_kind(field.annotation),
                convert=_converter(field.annotation),
            )
            for name, field in model.model_fields.items()
        )
    return columns


def _admits_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation)


def _plain_kind(annotation: Any) -> type | None:
    annotation = _plain_type(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return next((kind for arg in get_args(annotation) if (kind := _plain_kind(arg))), None)
    return annotation if annotation in (str, int, float, bool) else None


def _converter(annotation: Any) -> _Converter | None:
    if get_origin(annotation) is Annotated:
        return _converter(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = [_converter(arg) for arg in get_args(annotation) if arg is not type(None)]
        if datetime in get_args(annotation):
            return _write_time
        if len(inner) == 1:
            return None if inner[0] is None else _optional(inner[0])
        return _write_any
    if annotation is datetime:
        return _write_time
    if annotation is timedelta:
        return _write_duration
    if annotation in (str, int, float, bool):
        return None
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        return _write_model
    if get_origin(annotation) is list:
        item = get_args(annotation)[0]
        if isinstance(item, type) and issubclass(item, WireModel):
            return _write_models(item)
        if get_origin(item) is dict:
            return _write_maps
        return _write_plain_list(_plain_type(item)) if _converter(item) is None else _write_list
    if get_origin(annotation) is dict:
        value = get_args(annotation)[1]
        return _write_plain_map(_plain_type(value)) if _converter(value) is None else _write_map
    return _write_any


def _plain_type(annotation: Any) -> type:
    plain: type = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return plain


def _write_time(value: Any, problems: Problems, where: str) -> JSON:
    return format_time(value)


def _write_duration(value: Any, problems: Problems, where: str) -> JSON:
    return nanoseconds(value)


def _write_model(value: Any, problems: Problems, where: str) -> JSON:
    return None if value is None else value.to_wire(problems, where)


# Lists and maps can be edited in place, past the model's validation: what does not fit
# makes `to_wire` validate the whole model again, and that names the field.


def _write_models(items: type[WireModel]) -> _Converter:
    def write(value: Any, problems: Problems, where: str) -> JSON:
        if not all([isinstance(item, items) for item in value]):  # noqa: C419 - as in `_all_fit`
            raise TypeError(where)
        return [item.to_wire(problems, f"{where}[{i}]") for i, item in enumerate(value)]

    return write


def _write_maps(value: Any, problems: Problems, where: str) -> JSON:
    if not all(isinstance(item, Mapping) for item in value):
        raise TypeError(where)
    return jsonable(value, problems, where)


def _write_list(value: Any, problems: Problems, where: str) -> JSON:
    if not isinstance(value, list):
        raise TypeError(where)
    return jsonable(value, problems, where)


def _write_map(value: Any, problems: Problems, where: str) -> JSON:
    if not isinstance(value, dict):
        raise TypeError(where)
    return jsonable(value, problems, where)


def _write_plain_list(items: type) -> _Converter:
    def write(value: Any, problems: Problems, where: str) -> JSON:
        if type(value) is not list or not _all_fit(value, items):
            raise TypeError(where)
        return list(value)

    return write


def _all_fit(values: Iterable[Any], kind: type) -> bool:
    fitting = all([type(value) is kind for value in values])  # noqa: C419 - faster than a generator for so few
    return fitting and (kind is not float or all(map(math.isfinite, values)))


def _write_plain_map(items: type) -> _Converter:
    def write(value: Any, problems: Problems, where: str) -> JSON:
        if type(value) is not dict or any(type(key) is not str for key in value) or not _all_fit(value.values(), items):
            raise TypeError(where)
        return dict(value)

    return write


def _write_any(value: Any, problems: Problems, where: str) -> JSON:
    return jsonable(value, problems, where)


def _optional(convert: _Converter) -> _Converter:
    def write(value: Any, problems: Problems, where: str) -> JSON:
        return None if value is None else convert(value, problems, where)

    return write


def _without_nulls(model: type[WireModel], data: Any) -> Any:
    """Go reads a null as the zero value of any field, so for typed fields null is absence."""
    if not isinstance(data, Mapping):
        return data
    columns: dict[str, _Column] = {}
    for column in _columns(model):
        columns[column.name] = columns[column.key] = column
    out = {}
    for key, value in data.items():
        if value is None and key in columns:
            continue
        column_ = columns.get(key)
        if column_ is None:
            out[key] = value
            continue
        nested = _nested_model(model, column_.name)
        if nested is not None and not isinstance(value, list):
            out[key] = _without_nulls(nested, value)
            continue
        zero = _zero_item(model.model_fields[column_.name].annotation)
        if zero is None:
            out[key] = value
        elif isinstance(value, list):
            items = (zero if item is None else item for item in value)
            out[key] = [item if nested is None else _without_nulls(nested, item) for item in items]
        elif isinstance(value, Mapping):
            out[key] = {name: zero if item is None else item for name, item in value.items()}
        else:
            out[key] = value
    return out


def _zero_item(annotation: Any) -> Any:
    """What Go reads a null within a list or a map as; None where it stays one, or where there are no items."""
    if get_origin(annotation) is Annotated:
        return _zero_item(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return next((zero for arg in get_args(annotation) if (zero := _zero_item(arg)) is not None), None)
    if get_origin(annotation) not in (list, dict):
        return None
    item: Any = _plain_type(get_args(annotation)[-1])
    if isinstance(item, type) and issubclass(item, WireModel):
        return {}
    return item() if item in (str, int, float, bool) else None


def _nested_model(model: type[WireModel], name: str) -> type[WireModel] | None:
    return _model_within(model.model_fields[name].annotation)


def _model_within(annotation: Any) -> type[WireModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        return annotation
    for arg in get_args(annotation):
        found = _model_within(arg)
        if found is not None:
            return found
    return None


def told(error: Exception) -> str:
    """An error in words; pydantic's own have each value cut in the middle, and half a key is not known as one."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
        + (f", not {type(each['input']).__name__}" if each["msg"].startswith("Input should") else "")
        for each in error.errors(include_url=False)
    )
