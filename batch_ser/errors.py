"""What can go wrong, in one tree.

    BatchSerError
    ├── UsageError            the user's mistake: wrong usage or configuration (exit status 2)
    │   ├── CheckpointError   a checkpoint that cannot be read or does not fit
    │   └── MismatchError     the output holds results of other settings, or is not ours
    ├── AlreadyRunning        another driver works on this output (exit status 1)
    ├── Incomplete            the job stopped before its end and can be resumed (exit status 1)
    └── FileError             one recording cannot be used: its row is `failed`, the job goes on
    Stopped                   a signal stopped the job (exit status 128 + its number)

Errors of libraries are translated where they are called (`batch_ser/audio`, `batch_ser/inputs`,
`models/checkpoint.py`), with the cause kept.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a file failed: the `reason` column. Names are a contract; new ones may be added."""

    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    OUTSIDE_ROOT = "outside_root"
    NOT_A_FILE = "not_a_file"
    NO_AUDIO = "no_audio"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    BAD_RATE = "bad_rate"
    BAD_CHANNELS = "bad_channels"
    TOO_LONG = "too_long"
    BAD_SEGMENT = "bad_segment"
    ROLE_MISSING = "role_missing"
    FETCH_FAILED = "fetch_failed"
    DECODER_CRASH = "decoder_crash"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    INTERNAL_ERROR = "internal_error"


class BatchSerError(Exception):
    """Everything that this program raises on purpose."""


class UsageError(BatchSerError, ValueError):
    """The command, its options or its configuration cannot be carried out as given."""


class CheckpointError(UsageError):
    """A checkpoint cannot be read, or does not match its metadata."""


class MismatchError(UsageError):
    """The output cannot be continued: it was made with other settings, or not by this program."""


class AlreadyRunning(BatchSerError):
    """Another driver is at work on the same output."""


class Incomplete(BatchSerError):
    """The job could not finish; what is done is committed, the same command goes on from there."""


class Stopped(BaseException):
    """A signal stopped the job; what is done is committed. No `Exception`: nothing catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class FileError(BatchSerError):
    """One recording cannot be used; `reason`, the message and `max_hours` go into its row.

    `max_hours` is the limit that a recording exceeded which is too long, else None.
    """

    def __init__(self, reason: Reason, message: str, max_hours: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.max_hours = max_hours

    def __reduce__(self) -> tuple[type["FileError"], tuple[Reason, str, float | None]]:
        return FileError, (self.reason, str(self), self.max_hours)
