"""`--adapt-from`: what is taken over from an earlier output."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_ser.addresses import scheme_of
from batch_ser.errors import MismatchError, UsageError
from batch_ser.results import Output, RunRecord
from batch_ser.storage import is_store
from jobs.recovery import recover_output

TABLE = ".parquet"  # how the name of an output in single files ends


@dataclass(frozen=True)
class EarlierOutput:
    """What `--adapt-from` takes over."""

    offset: dict[str, Any]  # its record
    expect: str | None  # of `--expect`, if it is recorded


def earlier_output(adapt_from: str | None) -> EarlierOutput | None:
    """The record of the offset in another output, and what was expected there.

    Raises:
        UsageError: it has none.
    """
    if adapt_from is None:
        return None
    record = _earlier_record(adapt_from)
    if record is None or not isinstance(record.offset, dict):
        found = "no complete output" if record is None else "an output without an offset"
        raise UsageError(
            f"--adapt-from {adapt_from}: found {found}; expected what --out of a run with --adapt "
            "archive, recording or a column was"
        )
    return EarlierOutput(record.offset, record.fingerprint.get("expect"))


def _earlier_record(adapt_from: str) -> RunRecord | None:
    path = Path(adapt_from)
    is_other_file = path.is_file() and path.suffix != TABLE
    other_scheme = scheme_of(adapt_from) and not is_store(adapt_from)
    if not adapt_from.strip() or other_scheme or is_other_file:
        found = "a file" if is_other_file else "no name of an output"
        raise UsageError(
            f"--adapt-from {adapt_from or repr(adapt_from)}: found {found}; expected what --out of "
            "its run was, NAME.parquet or a folder"
        )
    try:
        output = Output(adapt_from)
    except MismatchError as error:
        raise UsageError(f"--adapt-from: {error}") from error
    try:
        recover_output(output)
        return output.run_record()
    except MismatchError as error:
        run_json = output.folder.place(output.run_json)
        raise UsageError(
            f"--adapt-from {adapt_from}: found {run_json} damaged, or no record of batch-ser; "
            "expected that of a complete output: give its run again with --restart, or another "
            "output"
        ) from error
