"""Rows of a Parquet file with embedded audio, as `datasets` of Hugging Face writes them.

The column `audio` is a struct of `bytes` and `path`; other columns are carried through.
"""

from collections.abc import Iterator
from io import SEEK_END
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.archives.archive import Archive, Found, Member, check_size, damage_found
from batch_ser.archives.texts import value_text
from batch_ser.cells import python_values
from batch_ser.errors import FileError, Reason

AUDIO = "audio"
BYTES, PATH = f"{AUDIO}.bytes", f"{AUDIO}.path"
AT_ONCE = 1_000  # rows without their audio
BUFFER_BYTES = 1_000_000
NOT_CARRIED = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary)


class ParquetArchive(Archive):
    """A Parquet file whose rows hold recordings; a member's place is its row group and row."""

    in_order = True
    takes_every_name = True

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._opened: pq.ParquetFile | None = None
        self._group, self._next = -1, 0  # what `_rows` gives next
        self._rows: Iterator[pa.RecordBatch] = iter(())

    def entries(self) -> Iterator[Found]:
        with damage_found("the Parquet file"):
            parquet = self._parquet()
            schema = parquet.schema_arrow
            further = [name for name in schema.names if name != AUDIO and _is_carried(schema, name)]
            # what each column takes is stated, too, but to ask pyarrow for it ends the process if
            # that is damaged
            mean_bytes = self._file.seek(0, SEEK_END) // max(1, int(parquet.metadata.num_rows))
            row = 0
            for group in range(parquet.num_row_groups):
                batches = parquet.iter_batches(
                    AT_ONCE, row_groups=[group], columns=[PATH, *further], use_threads=False
                )
                for at, (path, values) in enumerate(_values(batches, further)):
                    yield Found(Member(path or str(row), (group, at), mean_bytes), values=values)
                    row += 1

    def read(self, member: Member) -> Iterator[bytes]:
        with damage_found("the Parquet file"):
            content = self._content(*member.place)
        if content is None:
            raise FileError(
                Reason.NOT_FOUND, "the row has no bytes: its recording is elsewhere, not embedded"
            )
        check_size(len(content))
        yield content

    def _content(self, group: int, row: int) -> bytes | None:
        """What a row holds; rows of one group are read on, one by one."""
        if group != self._group or row < self._next:
            self._rows = self._parquet().iter_batches(
                1, row_groups=[group], columns=[BYTES], use_threads=False
            )
            self._group, self._next = group, 0
        batch = None
        while self._next <= row:
            batch = next(self._rows, None)
            self._next += 1
        if batch is None:
            raise FileError(Reason.CORRUPT, "the Parquet file is damaged: it has no such row")
        content: bytes | None = (batch.column(0)[0].as_py() or {}).get("bytes")
        return content

    def _parquet(self) -> Any:
        if self._opened is None:
            opened = pq.ParquetFile(self._file, pre_buffer=False, buffer_size=BUFFER_BYTES)
            if not _holds_audio(opened.schema_arrow):
                raise FileError(
                    Reason.UNSUPPORTED,
                    f"found a Parquet file without embedded audio, expected a column {AUDIO} with "
                    "the fields bytes and path",
                )
            self._opened = opened
        return self._opened


def embeds_audio(file: BinaryIO) -> bool:
    """Whether a file is a Parquet file whose rows hold recordings."""
    try:
        with damage_found("the Parquet file"):
            return _holds_audio(pq.read_schema(file))
    except FileError:
        return False


def _holds_audio(schema: pa.Schema) -> bool:
    """Whether rows hold recordings."""
    if AUDIO not in schema.names or not pa.types.is_struct(schema.field(AUDIO).type):
        return False
    fields = {field.name: field.type for field in schema.field(AUDIO).type}
    content, path = (fields.get(name, pa.null()) for name in ("bytes", "path"))
    is_text = pa.types.is_string(path) or pa.types.is_large_string(path)
    is_text |= "path" in fields and pa.types.is_null(path)  # pandas, where no row has one
    return bool(is_text and (pa.types.is_binary(content) or pa.types.is_large_binary(content)))


def _is_carried(schema: pa.Schema, name: str) -> bool:
    """Whether the values of a column are written as text."""
    return not any(unfit(schema.field(name).type) for unfit in NOT_CARRIED)


def _values(
    batches: Iterator[Any], further: list[str]
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """The path of each row, and the values of its further columns as text."""
    for batch in batches:
        names = batch.schema.names
        paths = batch.column(names.index(AUDIO)).field("path").to_pylist()
        columns = [python_values(batch.column(names.index(name))) for name in further]
        for at, path in enumerate(paths):
            values = (value_text(column[at]) for column in columns)
            yield path or "", dict(zip(further, values, strict=True))
