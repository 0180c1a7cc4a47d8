"""Tables of results: their columns, committed parts, publication, verification, group sums."""

from batch_ser.results.changed_rows import times_and_scores, with_scores
from batch_ser.results.committed import CommittedFile, CommittedParts, Cursor
from batch_ser.results.counts import SUMS
from batch_ser.results.derived import MADE_FROM, check_derived, digest_of, stale_tables
from batch_ser.results.final_tables import finalise
from batch_ser.results.groups import (
    ARCHIVE,
    NONE,
    RECORDING,
    UNSPLIT,
    GroupSums,
    Key,
    Segments,
    Sums,
    check_grouping,
    is_split,
    rows_by_key,
    values_of,
)
from batch_ser.results.json_files import as_json, read_json
from batch_ser.results.layout import CALLS, GROUPS, Output
from batch_ser.results.name_pattern import NAME_PATTERN, NamePattern
from batch_ser.results.parts import Part, new_parts
from batch_ser.results.publication import is_interrupted, recover, remove
from batch_ser.results.run_record import (
    Alarm,
    CheckpointRecord,
    LastRun,
    Listing,
    RunRecord,
    is_replacement,
)
from batch_ser.results.tables import (
    EMBEDDINGS,
    EMPTY,
    FAILED,
    GIVEN_DIGEST,
    OK,
    PARTIAL,
    SPEECH,
    TABLES,
    TableSchemas,
    file_row,
    rounded,
    to_table,
)
from batch_ser.results.talk_time import talk_time
from batch_ser.results.tally import Committed, Tally
from batch_ser.results.verification import verify

__all__ = [
    "ARCHIVE",
    "CALLS",
    "EMBEDDINGS",
    "EMPTY",
    "FAILED",
    "GIVEN_DIGEST",
    "GROUPS",
    "MADE_FROM",
    "NAME_PATTERN",
    "NONE",
    "OK",
    "PARTIAL",
    "RECORDING",
    "SPEECH",
    "SUMS",
    "TABLES",
    "UNSPLIT",
    "Alarm",
    "CheckpointRecord",
    "Committed",
    "CommittedFile",
    "CommittedParts",
    "Cursor",
    "GroupSums",
    "Key",
    "LastRun",
    "Listing",
    "NamePattern",
    "Output",
    "Part",
    "RunRecord",
    "Segments",
    "Sums",
    "TableSchemas",
    "Tally",
    "as_json",
    "check_derived",
    "check_grouping",
    "digest_of",
    "file_row",
    "finalise",
    "is_interrupted",
    "is_replacement",
    "is_split",
    "new_parts",
    "read_json",
    "recover",
    "remove",
    "rounded",
    "rows_by_key",
    "stale_tables",
    "talk_time",
    "times_and_scores",
    "to_table",
    "values_of",
    "verify",
    "with_scores",
]
