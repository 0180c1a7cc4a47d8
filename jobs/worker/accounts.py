"""The account of a file: every decoded sample is scored, or counted by why it is not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batch_ser.audio import MIXED
from batch_ser.errors import FileError, Reason
from batch_ser.inputs import InputFile, unpack
from batch_ser.results import (
    EMPTY,
    FAILED,
    GIVEN_DIGEST,
    OK,
    PARTIAL,
    TableSchemas,
    file_row,
    is_split,
    talk_time,
)
from batch_ser.segments import Kind, Region
from jobs.worker.channels import DUAL_MONO, OpenRecording
from jobs.worker.score import SegmentScore, file_mean
from jobs.worker.streams import ChannelStream

TOO_SHORT = "too_short"  # a note on good rows: a given segment has no row
CROSSTALK = "crosstalk"  # another one: a channel leaks into another


@dataclass
class FileAccount:
    """One file: its recording, its channels, and the rows that come of them."""

    file: InputFile
    opened: OpenRecording | None = None
    streams: Sequence[ChannelStream] = ()
    error: FileError | None = None

    def __post_init__(self) -> None:
        self.given = unpack(self.file.given_segments)

    def check_balance(self) -> None:
        """Check that every decoded sample is accounted for.

        Raises:
            FileError: `internal_error` if not; such a file is not `ok`.
        """
        assert self.opened
        decoded = self.opened.recording.decoded_frames * self.opened.recording.channels
        counted = self._totals(self.opened)
        if decoded != counted.total():
            raise FileError(
                Reason.INTERNAL_ERROR,
                f"the account does not balance: {decoded} samples decoded, {counted.total()} "
                f"accounted for ({dict(counted)}); please report this",
            )

    def _totals(self, opened: OpenRecording) -> Counter[Kind]:
        """Frames by kind, summed over all channels of the source."""
        channels = opened.recording.channels
        total: Counter[Kind] = Counter()
        for stream in self.streams:
            mixed = channels if stream.number == MIXED else 1
            for kind, frames in stream.frames.items():
                total[kind] += mixed * frames
        if MIXED not in opened.numbers:
            left_out = channels - len(opened.numbers)
            total[Kind.NOT_ASKED] += left_out * opened.recording.decoded_frames
        return total

    def row(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """The file's row in the files table."""
        columns: dict[str, Any] = {GIVEN_DIGEST: self.file.given_digest}
        if self.opened:
            recording = self.opened.recording
            columns |= {
                "codec": recording.codec,
                "sample_rate_hz": recording.rate_hz,
                "channels": recording.channels,
            }
        if self.error or not self.opened:
            assert self.error
            columns |= {"reason": self.error.reason.value, "message": str(self.error)}
            columns |= {"max_hours": self.error.max_hours}
            return self._files_row(FAILED, columns)
        scores = [score for stream in self.streams for score in stream.scores]
        columns |= {"note": ", ".join(self._notes(self.opened)) or None, "segments": len(scores)}
        columns |= self._seconds(self.opened) | file_mean(scores, labels)
        return self._files_row(OK if scores else EMPTY, columns)

    def _files_row(self, status: str, columns: dict[str, Any]) -> dict[str, Any]:
        file = self.file
        return file_row(file.file, file.size_bytes, file.modified_us, status, **columns)

    def _notes(self, opened: OpenRecording) -> list[str]:
        too_short = any(
            len(stream.given) > len(stream.scores) + len(stream.dropped) for stream in self.streams
        )
        crosstalk = any(region.crosstalk for _, region in self._regions())
        own = ((TOO_SHORT, too_short), (CROSSTALK, crosstalk))
        found = [note for note, is_found in own if is_found]
        return [*opened.recording.notes, *opened.notes, *found]

    def _regions(self) -> Iterator[tuple[ChannelStream, Region]]:
        """The regions of speech on all channels on which it is detected."""
        for stream in self.streams:
            if stream.detected:
                yield from ((stream, region) for region in stream.detected.regions)

    def _seconds(self, opened: OpenRecording) -> dict[str, Any]:
        recording, total = opened.recording, self._totals(opened)
        rate_hz, decoded = recording.rate_hz, recording.decoded_frames
        seconds: dict[str, Any] = {f"{kind}_s": total[kind] / rate_hz for kind in Kind}
        seconds["duration_s"] = decoded / rate_hz
        seconds["decoded_s"] = decoded * recording.channels / rate_hz
        detected = [stream.detected for stream in self.streams if stream.detected]
        if not detected:
            return seconds
        own = [[each[:2] for each in one.regions if not each.crosstalk] for one in detected]
        talk = talk_time(own, decoded)
        seconds["speech_s"] = [frames / rate_hz for frames in talk.by_channel]
        every_channel = len(detected) == recording.channels or DUAL_MONO in opened.notes
        if every_channel:  # else it is not known who speaks on the others
            seconds["overlap_s"] = talk.overlap / rate_hz
        if every_channel or MIXED in opened.numbers:
            seconds["silence_s"] = talk.silence / rate_hz
        return seconds

    def segment_rows(self, schemas: TableSchemas) -> list[list[Any]]:
        """The file's rows in the segments table, by channel and segment; none if it failed."""
        if self.error or not self.opened:
            return []
        return [
            self._segment_row(stream, number, score, schemas)
            for stream in self.streams
            for number, score in enumerate(stream.scores)
        ]

    def speech_rows(self) -> list[list[Any]]:
        """The file's rows in the speech table, by channel and time; none if it failed."""
        if self.error or not self.opened:
            return []
        rate_hz, roles = self.opened.recording.rate_hz, self.opened.roles
        return [
            [
                self.file.file,
                stream.number,
                roles.get(stream.number),
                region.start / rate_hz,
                region.end / rate_hz,
                region.crosstalk,
            ]
            for stream, region in self._regions()
        ]

    @property
    def decoded_s(self) -> float:
        """Seconds of the recording that have been decoded by now."""
        assert self.opened
        return self.opened.recording.decoded_frames / self.opened.recording.rate_hz

    @property
    def is_split(self) -> bool:
        """Whether segments of several channels show that the recording was split."""
        numbers = [stream.number for stream in self.streams if stream.scores]
        return bool(is_split(np.array(numbers, np.int64)).any())

    def new_segment_rows(self, schemas: TableSchemas) -> list[list[Any]]:
        """Rows of the segments that have been scored since the last call.

        They are numbered as `StoredRows` recognises them: a given segment by its place among those
        of its channel, others by 0.
        """
        if self.error:
            return []
        new = [
            (stream, score)
            for stream in self.streams
            for score in stream.scores
            if score.is_scored and not score.has_row
        ]
        for _, score in new:
            score.has_row = True
        return [self._segment_row(stream, score.number, score, schemas) for stream, score in new]

    def partial_row(self) -> dict[str, Any]:
        """A row of the files table that states how much of the file has been decoded."""
        columns = {GIVEN_DIGEST: self.file.given_digest, "duration_s": self.decoded_s}
        return self._files_row(PARTIAL, columns)

    def _segment_row(
        self, stream: ChannelStream, number: int, score: SegmentScore, schemas: TableSchemas
    ) -> list[Any]:
        """Values in the order of the table's columns."""
        assert self.opened
        rate_hz = self.opened.recording.rate_hz
        best = int(np.argmax(score.probabilities))
        embedding = [score.embedding] if schemas.embedding_width else []
        further = stream.given[score.number].columns if stream.given else self.file.columns
        return [
            self.file.file,
            stream.number,
            number,
            score.start / rate_hz,
            score.end / rate_hz,
            schemas.labels[best],
            score.probabilities[best],
            *score.probabilities,
            self.opened.roles.get(stream.number),
            stream.is_crosstalk(score),
            *embedding,
            *further,
        ]
