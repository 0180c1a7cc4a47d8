"""The inputs of a job: folders, globs and manifests, to a stream of files."""

from batch_ser.inputs.below_root import BelowRoot
from batch_ser.inputs.files import AUDIO_SUFFIXES, InputFile, archive_error, fetch_error
from batch_ser.inputs.folders import Selection
from batch_ser.inputs.given_segments import (
    TIMES,
    GivenSegment,
    channel_faults,
    parse_channel,
    parse_seconds,
    time_faults,
    unpack,
)
from batch_ser.inputs.names import printable, table_name
from batch_ser.inputs.roles import Roles, normal_roles, parse_roles
from batch_ser.inputs.rows import Columns, Row, header, read_rows, row_word
from batch_ser.inputs.walk import Walk
from batch_ser.inputs.whole_addresses import WholeAddresses

__all__ = [
    "AUDIO_SUFFIXES",
    "TIMES",
    "BelowRoot",
    "Columns",
    "GivenSegment",
    "InputFile",
    "Roles",
    "Row",
    "Selection",
    "Walk",
    "WholeAddresses",
    "archive_error",
    "channel_faults",
    "fetch_error",
    "header",
    "normal_roles",
    "parse_channel",
    "parse_roles",
    "parse_seconds",
    "printable",
    "read_rows",
    "row_word",
    "table_name",
    "time_faults",
    "unpack",
]
