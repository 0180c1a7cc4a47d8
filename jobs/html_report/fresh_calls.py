"""The tables of calls and groups of an output, made first where they are missing or stale."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import MismatchError
from batch_ser.results import CALLS, GROUPS, MADE_FROM, Output, digest_of
from jobs.calls import BY, NEGATIVE, POSITIVE, CallSource, make_calls


@dataclass(frozen=True)
class FreshCalls:
    """Tables of calls and groups that fit an output."""

    source: CallSource
    by: tuple[str, ...]  # columns of the output by which calls are grouped
    notes: tuple[str, ...] = ()  # of the command that made them

    def path(self, table: str) -> str:
        """The local file of a table."""
        return str(self.source.output.folder.local(self.source.output.derived(table)))


def fresh_calls(output: Output, by: Sequence[str] | None = None) -> FreshCalls:
    """The tables of an output, made again if they do not fit it, or are by other columns than `by`.

    What they were made with before, other than that, stays: labels, and the columns if `by` is
    None.

    Raises:
        UsageError, MismatchError, AlreadyRunning: as for `batch-ser calls`.
    """
    record = output.run_record()
    if record is None:
        raise MismatchError(f"{output.out}: not complete; give its run again, and then report")
    output.check_tables()
    tables = [_metadata(output, table) for table in (CALLS, GROUPS)]
    asked = tables[-1]
    columns = tuple(dict.fromkeys(by)) if by is not None else tuple(asked.get(BY, ()))
    positive, negative = (_option(asked.get(each)) for each in (POSITIVE, NEGATIVE))
    present = digest_of(output.complete_record())
    notes: tuple[str, ...] = ()
    fits = all(each.get(MADE_FROM) == present and BY in each for each in tables)
    if not fits or columns != tuple(asked[BY]):
        notes = make_calls(output.out, columns, positive, negative).notes
    source = CallSource.of(output, record, positive, negative)
    return FreshCalls(source, columns, notes)


def _metadata(output: Output, table: str) -> dict[str, Any]:
    """What a table states of how it was made; nothing, if there is none."""
    name = output.derived(table)
    if not output.folder.find(name):
        return {}
    try:
        metadata = pq.read_schema(output.folder.local(name)).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return {}
    found: dict[str, Any] = {}
    for key in (BY, POSITIVE, NEGATIVE):
        if key.encode() in metadata:
            found[key] = json.loads(metadata[key.encode()])
    if MADE_FROM.encode() in metadata:
        found[MADE_FROM] = metadata[MADE_FROM.encode()].decode()
    return found


def _option(labels: Sequence[str] | None) -> str | None:
    return None if labels is None else ",".join(labels)
