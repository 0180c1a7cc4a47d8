"""The books of a file: every decoded sample is scored, or it is said why not.

Positions here are frames of the source's own clock, whole numbers, so that the sums are exact.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from batch_ser.audio import MIXED, Recording, Resampler, Samples
from batch_ser.errors import FileError, Reason
from batch_ser.inputs import GivenSegment, InputFile, unpack
from batch_ser.results import EMPTY, FAILED, GIVEN_DIGEST, OK, TableSchemas, file_row
from batch_ser.segments import SEGMENTERS, Kind, SegmentSettings, Source, Span
from jobs.worker.score import SegmentScore, mean, union

DUAL_MONO = "dual_mono"  # a note on good rows, beside those of the recording
TOO_SHORT = "too_short"  # another: a given segment has no row


class ChannelBooks:
    """One channel: its resampler and segmenter, its segments, and what became of each frame."""

    def __init__(
        self,
        number: int,
        source: Source,
        settings: SegmentSettings,
        asked: Sequence[GivenSegment] = (),
    ) -> None:
        source = replace(source, given_times=tuple((each.start_s, each.end_s) for each in asked))
        self.number, self.asked = number, asked
        self.frames: Counter[Kind] = Counter()
        self.scores: list[SegmentScore] = []
        self.speech: list[tuple[int, int]] = []
        self._resampler = Resampler(source.source_hz, source.rate_hz)
        self._segmenter = SEGMENTERS[settings.method](source, settings)
        self._decoded = 0
        self._open: dict[int, SegmentScore] = {}

    def resample(self, samples: Samples, last: bool) -> Samples:
        """The next samples of this channel, at the checkpoint's rate."""
        self._decoded += len(samples)
        out = self._resampler(samples)
        return np.concatenate([out, self._resampler(samples[:0], last=True)]) if last else out

    def spans(self, samples: Samples, last: bool) -> Iterator[tuple[Samples, int, SegmentScore]]:
        """Cut the next samples; yield what is to be scored, and count everything."""
        for span in self._segmenter(samples, self._decoded if last else None):
            if span.kind in (Kind.SCORED, Kind.TOO_SHORT):
                self.speech.append((span.start, span.end))
            if span.samples is None:
                self.frames[span.kind] += span.end - span.start
            else:
                yield span.samples, span.end - span.start, self._score(span)
        if last:
            self.scores.sort(key=lambda score: (score.start, score.end, score.number))
            self.frames[Kind.SCORED] = union(self.scores)

    def _score(self, span: Span) -> SegmentScore:
        """The segment that a piece belongs to."""
        score = self._open.get(span.segment)
        if score is None:
            score = self._open[span.segment] = SegmentScore(span.start, span.segment)
            self.scores.append(score)
        score.end = span.end
        if span.closes:
            del self._open[span.segment]
        return score


@dataclass
class FileBooks:
    """One file, from its opening to its rows."""

    file: InputFile
    method: str
    error: FileError | None = None
    recording: Recording | None = None
    numbers: tuple[int, ...] = ()
    books: list[ChannelBooks] | tuple[()] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asked = unpack(self.file.given_segments)  # if segments are given

    def asked_of(self, number: int) -> list[GivenSegment]:
        """The segments that are given of a channel."""
        return [each for each in self.asked if each.channel in (None, number)]

    def open(self, recording: Recording, numbers: list[int]) -> None:
        """The file could be opened; these channels are scored."""
        self.recording, self.numbers = recording, tuple(numbers)

    def _totals(self) -> Counter[Kind]:
        """Frames by kind, summed over all channels of the source."""
        assert self.recording
        total: Counter[Kind] = Counter()
        for books in self.books:
            shares = self.recording.channels if books.number == MIXED else 1
            for kind, frames in books.frames.items():
                total[kind] += shares * frames
        if MIXED not in self.numbers:
            left_out = self.recording.channels - len(self.numbers)
            total[Kind.NOT_ASKED] += left_out * self.recording.decoded_frames
        return total

    def balance(self) -> None:
        """Check that every decoded frame is accounted for.

        Raises:
            FileError: `internal_error` if not; a file that does not balance is not `ok`.
        """
        assert self.recording
        decoded = self.recording.decoded_frames * self.recording.channels
        counted = self._totals()
        if decoded != counted.total():
            raise FileError(
                Reason.INTERNAL_ERROR,
                f"the books do not close: {decoded} samples decoded, {counted.total()} accounted "
                f"for ({dict(counted)}); please report this",
            )

    def row(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """The file's row in the files table."""
        file, recording = self.file, self.recording
        about: dict[str, Any] = {GIVEN_DIGEST: file.given_digest}
        if recording:
            about |= {
                "codec": recording.codec,
                "sample_rate_hz": recording.rate_hz,
                "channels": recording.channels,
            }
        if self.error or recording is None:
            assert self.error
            about |= {"reason": self.error.reason.value, "message": str(self.error)}
            about |= {"max_hours": self.error.max_hours}
            return file_row(file.file, file.size_bytes, file.modified_us, FAILED, **about)
        scores = [score for books in self.books for score in books.scores]
        notes = [*recording.notes, *self.notes]
        if any(len(books.asked) > len(books.scores) for books in self.books):
            notes.append(TOO_SHORT)
        about |= {"note": ", ".join(notes) or None, "segments": len(scores)}
        about |= self._seconds(recording) | mean(scores, labels)
        status = OK if scores else EMPTY
        return file_row(file.file, file.size_bytes, file.modified_us, status, **about)

    def _seconds(self, recording: Recording) -> dict[str, Any]:
        rate_hz, total = recording.rate_hz, self._totals()
        seconds: dict[str, Any] = {f"{kind}_s": total[kind] / rate_hz for kind in Kind}
        seconds["duration_s"] = recording.decoded_frames / rate_hz
        seconds["decoded_s"] = recording.decoded_frames * recording.channels / rate_hz
        if self.method == "speech":
            each, overlap, silence = _speech(
                [books.speech for books in self.books], recording.decoded_frames
            )
            seconds["speech_s"] = [frames / rate_hz for frames in each]
            each_heard = len(each) == recording.channels or DUAL_MONO in self.notes
            if each_heard:  # else nobody knows who speaks on the others
                seconds["overlap_s"] = overlap / rate_hz
            if each_heard or MIXED in self.numbers:
                seconds["silence_s"] = silence / rate_hz
        return seconds

    def segments(self, schemas: TableSchemas) -> pa.Table:
        """The file's rows in the segments table, by channel and segment; none if it failed."""
        if self.error or self.recording is None:
            return schemas.segments.empty_table()
        rate_hz = self.recording.rate_hz
        columns: dict[str, list[Any]] = {name: [] for name in schemas.segments.names}
        for books in self.books:
            for number, score in enumerate(books.scores):
                best = int(np.argmax(score.probabilities))
                place = (self.file.file, books.number, number, score.start / rate_hz)
                verdict = (score.end / rate_hz, schemas.labels[best], score.probabilities[best])
                embedding = [score.embedding] if schemas.embedding_width else []
                further = books.asked[score.number].columns if books.asked else self.file.columns
                row = (*place, *verdict, *score.probabilities, *embedding, *further)
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
        return pa.table(columns, schema=schemas.segments)


def _speech(channels: list[list[tuple[int, int]]], total: int) -> tuple[list[int], int, int]:
    """Frames of speech per channel, of more than one channel speaking, and of none."""
    each = [sum(end - start for start, end in speech) for speech in channels]
    steps = sorted(
        (at, by) for speech in channels for s, e in speech for at, by in ((s, 1), (e, -1))
    )
    overlap = silence = speaking = before = 0
    for at, by in [*steps, (total, 0)]:
        overlap += (at - before) * (speaking > 1)
        silence += (at - before) * (speaking == 0)
        speaking, before = speaking + by, at
    return each, overlap, silence
