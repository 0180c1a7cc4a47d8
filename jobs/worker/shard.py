"""The heart: one shard of files to rows. No Ray, no disk writes.

Files are decoded one after the other in blocks; each channel is resampled and cut; segments wait
in a pool until there are enough for batches of similar length, across files; a file's rows are
whole when its last segment is scored. Memory is bounded by one block per channel and the pool.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from batch_ser.audio import SPLIT, Reading, Samples, channel
from batch_ser.errors import FileError, Reason
from batch_ser.inputs import InputFile
from batch_ser.results import FAILED, UNSPLIT, TableSchemas, file_row, is_split, to_table
from batch_ser.segments import SegmentSettings, Source
from jobs.worker.accounts import ChannelBooks, FileBooks
from jobs.worker.channels import opened
from jobs.worker.score import SegmentScore
from models.offsets import ArchiveOffsets
from models.scoring import Checkpoint


@dataclass(frozen=True)
class ShardSettings:
    """What a worker needs to know besides the checkpoint."""

    segment: SegmentSettings
    schemas: TableSchemas
    channels: str = SPLIT  # or mix, or numbers such as 0,1
    batch_s: float = 64.0  # padded seconds of audio in one batch
    reading: Reading = field(default_factory=Reading)
    expect: str | None = None  # what `--expect` says, of a head with an offset
    offsets: ArchiveOffsets | None = None  # of such a head; None: the usual one


@dataclass
class ShardResult:
    """Every file of a shard, accounted for."""

    segments: pa.Table
    files: pa.Table
    stage_s: Counter[str]
    peak_bytes: int


class Stages:
    """Seconds spent in each stage of a worker."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started  # type: ignore[assignment]


@dataclass
class Piece:
    """What the network hears at once: a segment, or a part of a very long one."""

    samples: Samples
    weight: int
    score: SegmentScore
    owner: FileBooks


class Pool:
    """Pieces that wait to be scored in batches of similar length."""

    def __init__(self, checkpoint: Checkpoint, settings: ShardSettings, stages: Stages) -> None:
        self._checkpoint = checkpoint
        self._most = round(settings.batch_s * checkpoint.info.rate_hz)
        self._embed = settings.schemas.embedding_width > 0
        self._stages = stages
        self._waiting: list[Piece] = []
        self._samples = 0

    def add(self, piece: Piece) -> None:
        """Take a piece; score what waits once it fills four batches."""
        self._waiting.append(piece)
        self._samples += len(piece.samples)
        if self._samples >= 4 * self._most:
            self.score()

    def score(self) -> None:
        """Score everything that waits."""
        waiting = [piece for piece in self._waiting if not piece.owner.error]
        self._waiting, self._samples = [], 0
        waiting.sort(key=lambda piece: len(piece.samples))
        while waiting:
            count = max(1, min(len(waiting), self._most // len(waiting[-1].samples)))
            self._score_batch(waiting[-count:])
            del waiting[-count:]

    def _score_batch(self, batch: Sequence[Piece]) -> None:
        """Score a batch; if it fails, score each alone, so that a file can only fail itself."""
        try:
            with self._stages("features"):
                features = self._checkpoint.features([piece.samples for piece in batch])
            with self._stages("model"):
                scores, embeddings = self._checkpoint.represent(features, self._embed)
        except Exception as error:
            if len(batch) > 1:
                for piece in batch:
                    self._score_batch([piece])
            else:
                batch[0].owner.error = _internal(error)
            return
        for piece, probabilities, embedding in zip(batch, scores, embeddings, strict=True):
            piece.score.add(probabilities, piece.weight, embedding)


def work(
    files: Sequence[InputFile], checkpoint: Checkpoint, settings: ShardSettings
) -> ShardResult:
    """Decode, cut and score the files of one shard: all their rows, one files row each."""
    stages = Stages()
    pool = Pool(checkpoint, settings, stages)
    books = []
    for file in files:
        owner = FileBooks(file, settings.segment.method)
        books.append(owner)
        try:
            for piece in _listen(owner, checkpoint.info.rate_hz, settings, stages):
                pool.add(piece)
            owner.balance()
        except FileError as error:
            owner.error = error
        except Exception as error:
            owner.error = _internal(error)
    pool.score()
    schemas = settings.schemas
    with stages("rows"):
        if checkpoint.has_offset:
            for owner in books:
                _score_segments(owner, checkpoint, settings)
        segments = pa.concat_tables(
            [schemas.segments.empty_table(), *(each.segments(schemas) for each in books)]
        ).combine_chunks()
        rows = to_table([each.row(schemas.labels) for each in books], schemas.files)
    return ShardResult(segments, rows, stages.seconds, peak_bytes())


def _score_segments(owner: FileBooks, checkpoint: Checkpoint, settings: ShardSettings) -> None:
    """Probabilities of a file's segments by a head with an offset: it takes them whole."""
    if owner.error or owner.recording is None:
        return
    numbers = np.array([books.number for books in owner.books if books.scores], np.int64)
    split = bool(is_split(numbers).any())
    try:
        for books in owner.books:
            if not (scores := books.scores):
                continue
            lengths = np.array([score.end - score.start for score in scores], np.float64)
            condition = books.number if split else UNSPLIT
            offset = settings.offsets.of(condition) if settings.offsets else None
            found = checkpoint.score_embeddings(
                np.stack([score.embedding for score in scores]),
                lengths / owner.recording.rate_hz, offset, settings.expect,
            )  # fmt: skip
            for score, probabilities in zip(scores, found, strict=True):
                score.probabilities = probabilities
    except Exception as error:
        owner.error = _internal(error)


def _listen(
    owner: FileBooks, rate_hz: int, settings: ShardSettings, stages: Stages
) -> Iterator[Piece]:
    """Decode a file once, and yield the pieces of each channel as they are complete."""
    with stages("decode"):
        recording, numbers = opened(owner, settings.channels, settings.reading)
        blocks = recording.blocks()
    source = Source(recording.rate_hz, rate_hz)
    channels = [
        ChannelBooks(number, source, settings.segment, owner.asked_of(number)) for number in numbers
    ]
    owner.books = channels
    while True:
        with stages("decode"):
            block = next(blocks, None)
        for books in channels:
            samples = np.zeros(0, np.float32) if block is None else channel(block, books.number)
            with stages("resample"):
                samples = books.resample(samples, last=block is None)
            spans = books.spans(samples, last=block is None)
            while True:
                with stages("segment"):
                    heard = next(spans, None)
                if heard is None:
                    break
                yield Piece(*heard, owner)
        if block is None:
            return


def failed(file: InputFile, schemas: TableSchemas, error: FileError) -> ShardResult:
    """The result of a file that no worker could or should touch."""
    row = file_row(
        file.file,
        file.size_bytes,
        file.modified_us,
        FAILED,
        reason=error.reason.value,
        message=str(error),
        given=file.given_digest,
    )
    files = to_table([row], schemas.files)
    return ShardResult(schemas.segments.empty_table(), files, Counter(), 0)


def _internal(error: Exception) -> FileError:
    """An error that nobody foresaw, told in one line."""
    if isinstance(error, MemoryError):
        return FileError(Reason.OUT_OF_MEMORY, "there was not enough memory for this recording")
    at = error.__traceback__
    while at and at.tb_next:
        at = at.tb_next
    place = f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})" if at else ""
    return FileError(
        Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}{place}; please report this"
    )


def peak_bytes() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
