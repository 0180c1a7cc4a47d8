"""The offsets of an archive: estimated from its sums, stored in `run.json`, read from there."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch_ser.errors import UsageError
from batch_ser.results import ARCHIVE, UNSPLIT, GroupSums
from models.expectation import Expectation
from models.offset_head import Floats, Offset, OffsetHead


@dataclass(frozen=True)
class ArchiveOffsets:
    """The offset of an archive, and of each channel number of its split recordings."""

    archive: Offset
    channels: Mapping[int, Offset]

    @classmethod
    def estimated(cls, head: OffsetHead, sums: GroupSums, shares: Floats) -> "ArchiveOffsets":
        """From `sums` of ARCHIVE and of each condition, and the expected shares (labels,).

        An archive without segments has the usual offset.
        """
        usual = head.usual_offset()
        if ARCHIVE not in sums.sums:
            return cls(usual, {})
        archive = head.estimate("archive", usual, sums.sums[ARCHIVE], shares)
        channels = {
            key: head.estimate("channel", archive, own, shares)
            for key, own in sums.sums.items()
            if isinstance(key, int) and key != UNSPLIT
        }
        return cls(archive, channels)

    def of(self, condition: int) -> Offset:
        """The offset of a condition: a channel number of split recordings, or UNSPLIT."""
        return self.channels.get(condition, self.archive)

    def as_record(
        self, checkpoint_sha256: str, expect: Expectation, labels: Sequence[str]
    ) -> dict[str, Any]:
        """As stored in `run.json` under `offset`."""
        return self.archive.as_record() | {
            "channels": {str(key): each.as_record() for key, each in sorted(self.channels.items())},
            "checkpoint_sha256": checkpoint_sha256,
            "expect": expect.as_record(labels),
        }

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any] | None, numbers: int, checkpoint_sha256: str, place: str
    ) -> "ArchiveOffsets":
        """The inverse of `as_record`; `place` is the folder of its `run.json`.

        Raises:
            UsageError: missing, of another checkpoint, or damaged.
        """
        if not isinstance(record, Mapping):
            raise UsageError(
                f"--adapt-from {place}: found no offset; expected the output of a run with --adapt "
                "archive, recording or a column"
            )
        if record.get("checkpoint_sha256") != checkpoint_sha256:
            found = str(record.get("checkpoint_sha256"))[:12]
            raise UsageError(
                f"--adapt-from {place}: its offset is of the checkpoint {found}, expected that of "
                f"{checkpoint_sha256[:12]}; give the --model of its run"
            )
        try:
            channels = record.get("channels") or {}
            return cls(
                Offset.from_record(record, numbers),
                {int(key): Offset.from_record(each, numbers) for key, each in channels.items()},
            )
        except (UsageError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"--adapt-from {place}: found {error}") from error


def digest_of_record(record: Mapping[str, Any]) -> str:
    """SHA-256 of an offset's record, for the fingerprint of a job that takes it over."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
