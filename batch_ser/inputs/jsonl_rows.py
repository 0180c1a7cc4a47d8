"""JSONL manifests: a JSON object a line, also gzipped."""

import gzip
import json
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from batch_ser.errors import UsageError
from batch_ser.inputs.raw_rows import RawRow

MAX_LINE = 1 << 24  # bytes; a gzipped line may be longer than memory


def jsonl_rows(path: Path, _: Collection[str] = ()) -> Iterator[RawRow]:
    """An object a line, with its number in a text editor; blank lines are passed over.

    Raises:
        UsageError: it is damaged, or no text file.
    """
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            yield RawRow(number, {}, f"not JSON ({error})")
            continue
        if isinstance(values, dict):
            yield RawRow(number, values)
        else:
            yield RawRow(number, {}, "not a JSON object, expected one with the columns as keys")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened:
            file = cast("BinaryIO", opened)
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise UsageError(
                        f"{path}: line {number} is longer than {MAX_LINE >> 20} MB; expected a "
                        "JSON object a line"
                    )
                yield number, line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: damaged after line {number}: {error}") from error
