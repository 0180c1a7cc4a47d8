"""What every command does about outputs that were left, or cannot be written."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from batch_ser.errors import Incomplete, MismatchError
from batch_ser.results import Output, is_interrupted, recover
from batch_ser.storage import StorageError, is_store
from jobs.heartbeat import Heartbeat

WAYS_OUT = {
    errno.ENOSPC: "no space is left; make room",
    errno.EDQUOT: "the quota is used up; make room",
    errno.EFBIG: "a file would be larger than allowed; raise the limit (ulimit -f)",
    errno.EROFS: "the file system is read-only; make it writable",
    errno.EACCES: "permission denied; allow this user to read and write there",
    errno.EPERM: "permission denied; allow this user to read and write there",
    errno.EIO: "the disk reports an error; check it",
    errno.ESTALE: "the network file system has lost a file; mount it again",
    errno.ENOENT: "a file or folder was deleted or moved meanwhile; leave them in place",
    errno.ENOTDIR: "expected a folder, found a file; move it away",
    errno.EISDIR: "expected a file, found a folder; move it away",
    errno.EEXIST: "expected a folder, found a file; move it away",
}


@contextmanager
def storage_errors(output: Output) -> Iterator[None]:
    """Inside, an output that cannot be read or written stops the job, which can be resumed.

    Raises:
        Incomplete: it cannot, and why.
    """
    try:
        yield
    except StorageError as error:
        place = "" if is_store(str(error)) else f"{output.out}: "
        raise Incomplete(f"{place}{error}; when that is solved, give the command again") from error
    except OSError as error:
        if error.errno not in WAYS_OUT:
            raise
        place, way_out = error.filename or output.out, WAYS_OUT[error.errno]
        if is_store(str(place)):
            place = f"{place}: {error.strerror}"  # what the store answered
        raise Incomplete(
            f"{output.out}: {way_out}; then the same command goes on ({place})"
        ) from error


def check_exists(output: Output) -> None:
    """Check that there is something of an output, complete or not.

    Raises:
        MismatchError: there is nothing of this name.
        Incomplete: the place cannot be read.
    """
    with storage_errors(output):
        if not output.exists:
            raise MismatchError(
                f"{output.out}: no output of batch-ser; expected what --out of a run was"
            )


def recover_output(output: Output) -> None:
    """Go on where a driver was killed while it replaced tables.

    Raises:
        AlreadyRunning: it still does.
        Incomplete: the output cannot be written.
        MismatchError: neither the earlier nor the new tables are whole.
    """
    with storage_errors(output):
        if is_interrupted(output):
            with Heartbeat(output):
                recover(output)
