"""A row per run with typed columns, and the whole RunResult as JSON in ``document``; needs pyarrow."""

from __future__ import annotations

from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from .._wire import dumps
from ..errors import ConfigurationError
from .columns import COLUMNS, row_of

if TYPE_CHECKING:
    from .source import Source

_BATCH = 500  # runs that are in memory at a time


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write the runs, a group of rows at a time.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    try:
        # By name: pyarrow has no types to check against, and most installations do not have it at all.
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError("parquet needs pyarrow: pip install 'pytest-arena-state[parquet]'") from None
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    fields = [(name, types[kind]) for name, kind in COLUMNS.items()]
    schema = arrow.schema([*fields, ("document", arrow.string())])
    with parquet.ParquetWriter(stream, schema, compression="zstd") as out:
        runs = iter(source)
        while batch := list(islice(runs, _BATCH)):
            rows = [{**row_of(each), "document": dumps(each.run.to_dict()).decode("utf-8")} for each in batch]
            out.write_table(arrow.Table.from_pylist(rows, schema=schema))
