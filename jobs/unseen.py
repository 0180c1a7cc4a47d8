"""Whether a node of a cluster does not see what the driver sees, which is no fault of the files."""

import os

from batch_ser.addresses import scheme_of
from batch_ser.errors import Reason, UsageError
from batch_ser.inputs import InputFile, printable
from batch_ser.storage import Remote, StorageError, is_web
from jobs.sharding import Shard
from jobs.worker import ShardResult

REASONS = (Reason.NOT_FOUND, Reason.FORBIDDEN)


def unseen(shard: Shard, result: ShardResult) -> UsageError | None:
    """What a worker did not find, or was not allowed to read, though it can be read from here.

    A recording that an archive does not hold is missing everywhere, and not a matter of the node.
    """
    failed = [row for row in result.files.to_pylist() if row["reason"] in REASONS]
    if not failed:
        return None
    files = {file.file: file for file in shard if file.error is None}
    for row in failed:
        file = files.get(row["file"])
        if file is None or (file.member and not row["message"].startswith("there is no such")):
            continue
        if _is_seen(file):
            return UsageError(
                f"it cannot read {printable(file.path)} ({row['reason']}), which the machine of "
                f"the command can; {_expected(file)}"
            )
    return None


def _expected(file: InputFile) -> str:
    if scheme_of(file.path):
        return "expected keys for the object store in the environment of every node"
    return (
        "expected a file system that all nodes share, at the same path, or recordings in an "
        "object store"
    )


def _is_seen(file: InputFile) -> bool:
    if not scheme_of(file.path):
        return os.path.isfile(file.path) and os.access(file.path, os.R_OK)
    if is_web(file.path):  # its address may have a signature, and a server an opinion of its own
        return False
    try:
        return Remote().find(file.path) is not None
    except (OSError, StorageError, UsageError):
        return False
