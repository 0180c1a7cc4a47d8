"""Parquet manifests, read in batches: memory does not grow with the number of rows."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import UsageError
from batch_ser.inputs.cells import RawRow

BATCH = 10_000  # rows
INDEX = re.compile(r"__index_level_\d+__")  # of pandas: a column that nobody named
NO_FRACTION = re.compile(r"\.0+(?=$|[Z+-])")
A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # units of durations


def parquet_names(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        UsageError: it is no Parquet file.
    """
    try:
        with pq.ParquetFile(path) as file:
            return [name for name in file.schema_arrow.names if not INDEX.fullmatch(name)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_parquet(path, error) from error


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
                columns = [_values(batch.column(name)) for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield RawRow(number, dict(zip(names, values, strict=True)))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(path, error) from error


def _values(column: pa.Array) -> list[object]:
    """The values of a column as Python holds them; times as pandas would write them to CSV."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_duration(kind):
        a_second = A_SECOND[kind.unit]
        return [value and _duration(value, a_second) for value in _whole(column)]
    if pa.types.is_temporal(kind):
        texts = column.cast(pa.string()).to_pylist()
        return [text and NO_FRACTION.sub("", text) for text in texts]
    if pa.types.is_floating(kind) and not pa.types.is_float64(kind):
        texts = column.cast(pa.string()).to_pylist()  # 0.3, whose float64 is 0.30000001192092896
        return [None if text is None else float(text) for text in texts]
    return list(column.to_pylist())


def _whole(column: pa.Array) -> list[str | None]:
    return [None if each is None else str(each) for each in column.cast(pa.int64()).to_pylist()]


def _duration(value: str, a_second: int) -> str:
    """A number of units as pandas writes a timedelta: `0 days 00:00:01.500000`."""
    seconds, rest = divmod(int(value), a_second)
    days, seconds = divmod(seconds, 86_400)
    hours, minutes = divmod(seconds // 60, 60)
    fraction = f".{rest * 1_000_000_000 // a_second:09}" if rest else ""
    sign = "+" if days < 0 else ""
    return f"{days} days {sign}{hours:02}:{minutes:02}:{seconds % 60:02}{fraction}"


def _not_parquet(path: Path, error: Exception) -> UsageError:
    if isinstance(error, OSError) and error.strerror:
        return UsageError(f"{path}: the manifest cannot be read: {error.strerror}")
    return UsageError(f"{path}: not a Parquet file ({error})")
