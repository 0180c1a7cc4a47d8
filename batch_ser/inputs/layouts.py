"""What the columns of a manifest mean: our own names, or those of other programs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from batch_ser.inputs import audformat, lhotse
from batch_ser.inputs.raw_rows import RawRow

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of Hugging Face audio folders
METADATA_FILE = ("file_name", "audio")  # what they call the column of files


class Layout(NamedTuple):
    """Turns names and rows into those of our own manifests; a row may become several, or none."""

    names: Callable[[Sequence[str]], list[str]]  # of a header
    rows: Callable[[RawRow], Iterable[RawRow]]
    is_plain: bool = False


PLAIN = Layout(list, lambda row: [row], is_plain=True)


def layout_of(path: Path, names: Sequence[str], *, times: bool) -> Layout:
    """The layout of a manifest by the names in its header, or in its first line."""
    if old := file_column(path, names):
        return _renamed(old)
    if times and audformat.is_audformat(names):
        return Layout(audformat.names_of, _unless_faulty(audformat.rows_of))
    keys = dict.fromkeys(names)
    if lhotse.is_cut(keys):
        return Layout(list, _unless_faulty(lhotse.cut_rows))
    if lhotse.is_recording(keys):
        return Layout(list, _unless_faulty(lhotse.recording_rows))
    return PLAIN


def file_column(path: Path, names: Sequence[str]) -> str:
    """The column of files in the metadata of an audio folder; empty where that is `file`."""
    if path.name.lower() not in METADATA or "file" in names:
        return ""
    return next((name for name in METADATA_FILE if name in names), "")


def _renamed(old: str) -> Layout:
    def new(names: Iterable[str]) -> list[str]:
        return ["file" if name == old else name for name in names]

    def rows(row: RawRow) -> Iterator[RawRow]:
        values = row.values
        yield RawRow(row.number, dict(zip(new(values), values.values(), strict=True)), row.fault)

    return Layout(new, rows)


def _unless_faulty(
    convert: Callable[[RawRow], Iterator[RawRow]],
) -> Callable[[RawRow], Iterator[RawRow]]:
    def rows(row: RawRow) -> Iterator[RawRow]:
        yield from [row] if row.fault else convert(row)

    return rows
