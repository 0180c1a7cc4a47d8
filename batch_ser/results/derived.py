"""Tables that are made from the final ones, such as that of calls: whose they are, and of which.

`run.json` does not list them: a later run leaves them, and then they are reported as stale.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import MismatchError
from batch_ser.results.layout import CALLS, DERIVED, GROUPS, Output
from batch_ser.results.run_record import tables_of

MADE_FROM = "made_from"  # in the metadata: what `digest_of` returns


def digest_of(content: dict[str, Any] | None) -> str:
    """A digest of the tables that the content of a `run.json` lists."""
    digests = sorted(str(about.get("sha256")) for about in tables_of(content).values())
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def made_from(path: Path) -> str | None:
    """The digest that a derived Parquet file states; None of any other file."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return None
    return metadata[MADE_FROM.encode()].decode() if MADE_FROM.encode() in metadata else None


def check_derived(output: Output) -> None:
    """Refuse to overwrite files with the names of derived tables that this program did not make.

    Raises:
        MismatchError: there is one.
    """
    own = own_derived(output)
    for name in output.derived_files:
        if name not in own and output.folder.find(name):
            raise MismatchError(
                f"{output.folder.place(name)} exists and is not a table of this output; move it "
                "away"
            )


def own_derived(output: Output) -> list[str]:
    """The files with derived tables of an output, a CSV before the Parquet file that owns it."""
    found = []
    for name, ending in sorted(DERIVED):
        parquet = output.derived(name)
        is_own = output.folder.find(parquet) and made_from(output.folder.local(parquet))
        if is_own and output.folder.find(output.derived(name, ending)):
            found.append(output.derived(name, ending))
    return found


def stale_tables(output: Output) -> list[str]:
    """The derived Parquet files that were made from other tables than the present ones."""
    present = digest_of(output.complete_record())
    return [
        parquet
        for parquet in map(output.derived, (CALLS, GROUPS))
        if output.folder.find(parquet)
        and made_from(output.folder.local(parquet)) not in (None, present)
    ]
