"""JSON Schemas of tools' arguments: where they are found, and whether arguments fit them.

Descriptors are recognised by their shape, as clients take them; no client is imported.
jsonschema is, when arguments are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._text import printable, shortened
from ._wire import jsonable
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .messages import Message

# Where descriptors keep the schema: OpenAI, google-genai; Anthropic; MCP, in its two spellings; google-genai's other.
_SCHEMA_KEYS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema")
_DEFINITIONS = "gen_ai.tool.definitions"


def find(tool: Any, schema: Any, messages: Sequence[Message]) -> tuple[str, dict[str, Any]]:
    """The name of a tool and the schema of its arguments.

    Raises:
        ConfigurationError: There is none; says what was looked at.
    """
    if not isinstance(tool, str):
        described = _descriptor(tool)
        if described is None:
            raise ConfigurationError(
                f"matches_schema: wanted a tool's name or a descriptor with a name and a schema, not {shortened(tool)}"
            )
        return described[0], described[1] if schema is None else _schema(described[0], schema)
    if schema is not None:
        return tool, _schema(tool, schema)
    for message in messages:
        for name, found in _descriptors(_told_tools(message.meta)):
            if name == tool:
                return tool, found
    raise ConfigurationError(
        f"matches_schema: no schema for {printable(tool, 60)!r}, and the conversation does not describe its tools; "
        "give one: matches_schema(tool, schema)"
    )


def _schema(tool: str, given: Any) -> dict[str, Any]:
    if isinstance(given, list | tuple):
        for name, found in _descriptors(given):
            if name == tool:
                return found
        raise ConfigurationError(f"matches_schema: none of {len(given)} descriptors is of {printable(tool, 60)!r}")
    described = _descriptor(given)
    if described is not None:
        return described[1]
    schema = given.model_json_schema() if hasattr(given, "model_json_schema") else given
    if not isinstance(schema, Mapping):
        raise ConfigurationError(
            f"matches_schema: wanted a JSON Schema, a pydantic model or a descriptor, not {shortened(given)}"
        )
    return dict(schema)


def _told_tools(meta: Mapping[str, Any]) -> Iterable[Any]:
    """What a response says of the tools that the model was given."""
    for place, key in (("extra", "tools"), ("attributes", _DEFINITIONS)):
        holder = meta.get(place)
        tools = holder.get(key) if isinstance(holder, Mapping) else None
        if isinstance(tools, list):
            yield from tools


def _descriptors(given: Iterable[Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for item in given:
        described = _descriptor(item)
        if described is not None:
            yield described


def _descriptor(given: Any) -> tuple[str, dict[str, Any]] | None:
    """The name and schema of a descriptor; None when it is none."""
    if isinstance(given, type) or not isinstance(given, Mapping):
        return _described_by_attributes(given)
    inner = given.get("function")
    item = inner if isinstance(inner, Mapping) else given
    name = item.get("name")
    schema = next((item[key] for key in _SCHEMA_KEYS if isinstance(item.get(key), Mapping)), None)
    return (name, dict(schema)) if isinstance(name, str) and schema is not None else None


def _described_by_attributes(given: Any) -> tuple[str, dict[str, Any]] | None:
    name = getattr(given, "name", None)
    if isinstance(given, type) or not isinstance(name, str):
        return None
    for key in (*_SCHEMA_KEYS, "params_json_schema", "tool_call_schema"):  # the Agents SDK; LangChain
        schema: Any = getattr(given, key, None)
        if hasattr(schema, "model_json_schema"):
            schema = schema.model_json_schema()
        if isinstance(schema, Mapping):
            return name, dict(schema)
    return None


def problem(args: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong with arguments; empty when they fit.

    Raises:
        ConfigurationError: The schema is none, or jsonschema is not installed.
    """
    try:
        jsonschema: Any = import_module("jsonschema")
        referencing: Any = import_module("referencing")  # comes with it
    except ImportError:
        raise ConfigurationError("matches_schema needs jsonschema: pip install 'pytest-arena-state[schema]'") from None
    try:
        validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        validator.check_schema(schema)
        # With a registry of our own nothing is fetched: references lead to places inside the schema alone.
        checked = validator(schema, registry=referencing.Registry())
        error = jsonschema.exceptions.best_match(checked.iter_errors(jsonable(args)))
    except (jsonschema.exceptions.SchemaError, referencing.exceptions.Unresolvable) as wrong:
        raise ConfigurationError(
            f"matches_schema: not a JSON Schema that can be used: {shortened(str(wrong))}"
        ) from None
    if error is None:
        return ""
    where = "".join(f"[{part!r}]" for part in error.absolute_path)
    return f"args{where}: {error.message}"
