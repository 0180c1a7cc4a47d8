"""The offsets of an archive: estimated from its sums, stored in `run.json`, read from there."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch_ser.errors import UsageError
from batch_ser.results import ARCHIVE, GroupSums, Sums
from models.expectation import Expectation
from models.offset_head import Floats, Offset, OffsetHead


@dataclass(frozen=True)
class ArchiveOffsets:
    """The offset of an archive, and of each channel number of its split recordings."""

    archive: Offset
    channels: Mapping[int, Offset]

    @classmethod
    def estimated(cls, head: OffsetHead, sums: GroupSums, shares: Floats) -> "ArchiveOffsets":
        """From `sums` of ARCHIVE and of each channel number, and the expected shares (labels,).

        An archive without segments has the usual offset.
        """
        usual = head.usual_offset()
        if ARCHIVE not in sums.sums:
            return cls(usual, {})
        archive = head.estimate("archive", usual, sums.sums[ARCHIVE], shares)
        channels = {
            key: head.estimate("channel", archive, own, shares)
            for key, own in sums.sums.items()
            if isinstance(key, int)
        }
        return cls(archive, channels)

    def of_part(self, head: OffsetHead, condition: int, own: Sums, shares: Floats) -> Offset:
        """The offset of a recording or a speaker within a condition, by its `own` sums.

        Its segments count a second time: they are in the sums of its condition and the archive,
        too, of which those of one of n equal parts are a share of 1/n.
        """
        return head.estimate("speaker", self.of(condition), own, shares)

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
        found = record.get("checkpoint_sha256")
        if isinstance(found, str) and found != checkpoint_sha256:
            raise UsageError(
                f"--adapt-from {place}: its offset is of the checkpoint {found[:12]}, expected "
                f"that of {checkpoint_sha256[:12]}; give the --model of its run"
            )
        try:
            if not isinstance(found, str):
                raise UsageError("an offset that names no checkpoint")
            channels = _channels(record.get("channels") or {}, numbers)
            return cls(Offset.from_record(record, numbers), channels)
        except UsageError as error:
            raise UsageError(
                f"--adapt-from {place}: found {error}; give the run of that output again with "
                "--restart, or take over the offset of another output"
            ) from error


def _channels(record: object, numbers: int) -> dict[int, Offset]:
    """The offsets of channel numbers.

    Raises:
        UsageError: damaged.
    """
    if not isinstance(record, Mapping) or not all(str(key).isdecimal() for key in record):
        raise UsageError("an offset whose channels are damaged, expected an offset by their number")
    return {int(key): Offset.from_record(each, numbers) for key, each in record.items()}


def digest_of_record(record: Mapping[str, Any]) -> str:
    """SHA-256 of an offset's record, for the fingerprint of a job that takes it over."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
