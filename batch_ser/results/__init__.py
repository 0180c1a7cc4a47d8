"""Tables of results: their columns, committed parts, publication, recounting, group sums."""

from batch_ser.results.final_tables import SUMS, finalise
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
from batch_ser.results.layout import DRIVER, EMBEDDINGS, TABLES, Output, read_json, write_json
from batch_ser.results.parts import Winner, commit, committed_parts, winners
from batch_ser.results.tables import (
    EMPTY,
    FAILED,
    GIVEN_DIGEST,
    OK,
    TableSchemas,
    file_row,
    rounded,
    to_table,
    with_scores,
)
from batch_ser.results.verification import verify

__all__ = [
    "ARCHIVE",
    "DRIVER",
    "EMBEDDINGS",
    "EMPTY",
    "FAILED",
    "GIVEN_DIGEST",
    "NONE",
    "OK",
    "RECORDING",
    "SUMS",
    "TABLES",
    "UNSPLIT",
    "GroupSums",
    "Key",
    "Output",
    "Segments",
    "Sums",
    "TableSchemas",
    "Winner",
    "check_grouping",
    "commit",
    "committed_parts",
    "file_row",
    "finalise",
    "is_split",
    "read_json",
    "rounded",
    "rows_by_key",
    "to_table",
    "values_of",
    "verify",
    "winners",
    "with_scores",
    "write_json",
]
