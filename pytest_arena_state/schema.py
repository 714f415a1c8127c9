"""The JSON Schemas of what this package writes, in files of their own beside it.

They describe what is written, not all that is read: Arena's own files may lack a key or have a null
where these have an empty list. Keys that they do not name are allowed.
"""

from __future__ import annotations

from importlib.resources import files

from .errors import ConfigurationError

SCHEMAS = ("run-result", "index", "journal-record")
"""The report of a run, the index of results, and a line of a journal."""


def read_schema(name: str) -> str:
    """A schema as JSON text, of draft 2020-12.

    Args:
        name: One of `SCHEMAS`.

    Raises:
        ConfigurationError: There is no such schema.
    """
    if name not in SCHEMAS:
        raise ConfigurationError(f"schema {name!r} is not one of {', '.join(SCHEMAS)}")
    return (files(__package__) / "schemas" / f"{name}.json").read_text(encoding="utf-8")


__all__ = ["SCHEMAS", "read_schema"]
