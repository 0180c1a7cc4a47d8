"""Parquet manifests, read in batches: memory does not grow with the number of rows."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.cells import python_values
from batch_ser.errors import UsageError
from batch_ser.inputs.raw_rows import RawRow

BATCH = 10_000  # rows
INDEX = re.compile(r"__index_level_\d+__")  # of pandas: a column that nobody named


def parquet_names(path: Path) -> list[str]:
    """The names of the columns; those that were the index in pandas first, which it writes last.

    Raises:
        UsageError: it is no Parquet file.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if not INDEX.fullmatch(name)]
            index = [name for name in _pandas_index(file.schema_arrow) if names.count(name) == 1]
            return [*index, *(name for name in names if name not in index)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_parquet(path, error) from error


def _pandas_index(schema: pa.Schema) -> list[str]:
    """The columns that were the index of a table in pandas, by its metadata."""
    columns = (schema.pandas_metadata or {}).get("index_columns", [])
    return [each for each in columns if isinstance(each, str)]


def parquet_rows(path: Path, known: Collection[str] = ()) -> Iterator[RawRow]:
    """All rows, numbered from 1; where columns are `known`, with these alone.

    Raises:
        UsageError: it is no Parquet file, or a damaged one.
    """
    names = [name for name in parquet_names(path) if not known or name in known]
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH, columns=names):
                columns = [python_values(batch.column(name)) for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield RawRow(number, dict(zip(names, values, strict=True)))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(path, error) from error


def _not_parquet(path: Path, error: Exception) -> UsageError:
    if isinstance(error, OSError) and error.strerror:
        return UsageError(f"{path}: the manifest cannot be read: {error.strerror}")
    return UsageError(f"{path}: not a Parquet file ({error})")
