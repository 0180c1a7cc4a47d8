"""One shard of files to rows, without Ray and without writing to disk.

Files are decoded one after the other in blocks; each channel is resampled and segmented; pieces of
segments wait in a pool until there are enough for batches of similar length, across files; a file's
rows are made when all are scored, and those of a long recording also meanwhile: what has a row need
not be scored again. Memory is bounded by one block per channel and the pool.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from batch_ser.archives import OpenArchives
from batch_ser.audio import SPLIT, Reading, Samples, channel
from batch_ser.errors import FileError, Incomplete
from batch_ser.inputs import GivenSegment, InputFile, Roles
from batch_ser.results import FAILED, TableSchemas, file_row, to_table
from batch_ser.segments import SegmentSettings, Source
from jobs.worker.accounts import FileAccount
from jobs.worker.channels import ChannelChoice, given_of, open_recording
from jobs.worker.detection import Detection
from jobs.worker.fetching import Fetching
from jobs.worker.offset_scores import score_whole
from jobs.worker.pool import FilePiece, Pool, as_file_error
from jobs.worker.stored import StoredRows, StoredRowsDiffer
from jobs.worker.streams import ChannelStream
from jobs.worker.usage import Stages, peak_bytes
from models.batching import BATCH_S, Piece, Score
from models.offsets import ArchiveOffsets
from models.scoring import Checkpoint

# of audio, whatever the machine: of a recording that is begun again about so much is scored again
PARTIAL_S = 600.0


@dataclass(frozen=True)
class ShardSettings:
    """The settings of a worker, besides the checkpoint."""

    segment: SegmentSettings
    schemas: TableSchemas
    channels: str = SPLIT  # or mix, or numbers such as 0,1
    roles: Roles = field(default_factory=dict)  # `--roles`; of a file, a manifest may have others
    score: str | None = None  # the one role that is scored; None: all channels
    batch_s: float = BATCH_S  # padded seconds of audio in one batch
    reading: Reading = field(default_factory=Reading)
    expect: str | None = None  # `--expect`, of a head with an offset
    offsets: ArchiveOffsets | None = None  # of such a head; None: the usual one
    partial_s: float | None = None  # of a recording, between two partial results; None: none
    first_s: float = math.inf  # of each recording no block after these seconds: for estimates

    def choice(self, file: InputFile, given: Sequence[GivenSegment]) -> ChannelChoice:
        """What options and manifest state of the channels of a file."""
        detects = self.schemas.detects
        return ChannelChoice(self.channels, given, self.roles, file.roles, self.score, detects)

    def __post_init__(self) -> None:
        # whether a recording is split, and so which offset it has, is known at its end
        assert not (self.offsets and self.partial_s)
        assert self.score is None or self.schemas.detects  # crosstalk of another role


@dataclass
class ShardResult:
    """The rows of a shard, one files row for each file; or some of the rows of one file of it.

    A partial result has one files row, of status `partial`, and rows of segments of that file which
    no earlier result has. The last result has all rows of all files, also these.
    """

    segments: pa.Table
    files: pa.Table
    speech: pa.Table  # none of its rows in a partial result
    stage_s: Counter[str]  # since the result before
    peak_bytes: int
    version: tuple[int, int, str] | None = None  # of the file, in a partial result

    @property
    def is_partial(self) -> bool:
        return self.version is not None


def score_shard(
    files: Sequence[InputFile],
    checkpoint: Checkpoint,
    settings: ShardSettings,
    stored: Mapping[str, pa.Table] | None = None,
    archives: OpenArchives | None = None,
    score: Score | None = None,
) -> Iterator[ShardResult]:
    """Decode, segment and score the files of one shard.

    Yields partial results of long recordings, and last the result of the whole shard. `stored` has
    the rows of partial results of earlier attempts, by the name of the file: such segments are not
    scored again. `archives` may be those that are open since an earlier shard. `score` scores
    pieces of segments elsewhere, by the same checkpoint.
    """
    fetching = Fetching(files, archives)
    yield from _Work(checkpoint, settings, score).results(fetching, files, stored or {})


class _Work:
    """The work on one shard."""

    def __init__(
        self, checkpoint: Checkpoint, settings: ShardSettings, score: Score | None
    ) -> None:
        self._checkpoint = checkpoint
        self._settings = settings
        self._stages = Stages()
        embed = settings.schemas.embedding_width > 0
        self._pool = Pool(checkpoint, settings.batch_s, self._stages, embed=embed, score=score)
        self._accounts: list[FileAccount] = []

    def results(
        self, fetching: Fetching, files: Sequence[InputFile], stored: Mapping[str, pa.Table]
    ) -> Iterator[ShardResult]:
        for number, file in enumerate(files):
            yield from self._partial_results(number, file, fetching, stored.get(file.file))
        self._pool.score()
        settings, accounts = self._settings, self._accounts
        schemas = settings.schemas
        with self._stages("rows"):
            for account in accounts:
                score_whole(account, self._checkpoint, settings.offsets, settings.expect)
            rows = [row for account in accounts for row in account.segment_rows(schemas)]
            segments = _table(rows, schemas.segments)
            speech = _table(
                [row for each in accounts for row in each.speech_rows()], schemas.speech
            )
            table = to_table([each.row(schemas.labels) for each in accounts], schemas.files)
        yield ShardResult(segments, table, speech, self._stages.take(), peak_bytes())

    def _partial_results(
        self, number: int, file: InputFile, fetching: Fetching, stored: pa.Table | None
    ) -> Iterator[ShardResult]:
        """Decode and segment a file, and score some of its segments, or all."""
        account = self._begin(file)
        try:
            if file.error:  # found when it was listed; a million such files are only rows, too
                raise file.error
            with fetching.local(number) as account.file:
                same = account.file.version == file.version
                try:
                    yield from self._pooled(account, stored if same else None)
                except StoredRowsDiffer as error:  # as of a file that changed unnoticed
                    account.error = error  # so that its pieces in the pool are not scored
                    self._accounts.pop()
                    account = self._begin(account.file)
                    yield from self._pooled(account, None)
            account.check_balance()
        except Incomplete:  # no file's fault
            raise
        except Exception as error:
            account.error = as_file_error(error)

    def _begin(self, file: InputFile) -> FileAccount:
        self._accounts.append(FileAccount(file))
        return self._accounts[-1]

    def _pooled(self, account: FileAccount, stored: pa.Table | None) -> Iterator[ShardResult]:
        """Add the pieces of a file to the pool; a partial result after every `partial_s` of it."""
        every_s = self._settings.partial_s
        next_s = every_s or math.inf
        rate_hz = self._checkpoint.info.rate_hz
        for piece in _decoded(account, rate_hz, self._settings, stored, self._stages):
            if piece:
                self._pool.add(piece)
            elif every_s and account.decoded_s >= next_s and not account.error:
                next_s = account.decoded_s + every_s
                yield self._partial(account)

    def _partial(self, account: FileAccount) -> ShardResult:
        """What has been scored by now: to score the pool, too, would make smaller batches."""
        settings = self._settings
        schemas = settings.schemas
        with self._stages("rows"):
            score_whole(account, self._checkpoint, settings.offsets, settings.expect)
            rows = account.new_segment_rows(schemas)
            files = to_table([account.partial_row()], schemas.files)
            segments = _table(rows, schemas.segments)
        speech = schemas.speech.empty_table()
        stage_s, version = self._stages.take(), account.file.version
        return ShardResult(segments, files, speech, stage_s, peak_bytes(), version)


def _table(rows: Sequence[list[Any]], schema: pa.Schema) -> pa.Table:
    """The rows of all files in one table: one for each file would take 18 kB, whatever it holds."""
    columns = {name: [row[at] for row in rows] for at, name in enumerate(schema.names)}
    return pa.table(columns, schema=schema)


def _decoded(
    account: FileAccount,
    rate_hz: int,
    settings: ShardSettings,
    stored: pa.Table | None,
    stages: Stages,
) -> Iterator[FilePiece | None]:
    """Decode a file once, and yield the pieces of each channel as they are complete.

    Yields None after each block.

    Raises:
        FileError: it cannot be decoded.
        StoredRowsDiffer: the stored rows are not those of its segments.
    """
    with stages("decode"):
        choice = settings.choice(account.file, account.given)
        opened = account.opened = open_recording(account.file.path, settings.reading, choice)
    if opened.error:
        raise opened.error
    source = Source(opened.recording.rate_hz, rate_hz)
    rows = StoredRows(stored, settings.schemas, opened.recording.rate_hz)
    detection = Detection(opened) if settings.schemas.detects else None
    account.streams = [
        ChannelStream(
            number,
            source,
            settings.segment,
            given_of(account.given, number) if number in opened.scored else (),
            rows,
            detection.of_channel(number, source) if detection else None,
            scored=number in opened.scored,
            gated=settings.score is not None,
        )
        for number in opened.numbers
    ]
    blocks = opened.recording.blocks()
    block: Samples | None = np.zeros(0, np.float32)
    while block is not None:
        with stages("decode"):
            block = next(blocks, None) if account.decoded_s < settings.first_s else None
        if detection:
            detection.append(block)
        for stream in account.streams:
            for piece in _pieces(stream, block, stages):
                yield FilePiece(piece.samples, piece.weight, piece.means, account)
        if detection:
            detection.drop()
        yield None
    rows.check_all_taken()


def _pieces(stream: ChannelStream, block: Samples | None, stages: Stages) -> Iterator[Piece]:
    """The pieces that a block completes on one channel; None after the last block."""
    last = block is None
    samples = np.zeros(0, np.float32) if block is None else channel(block, stream.number)
    with stages("resample"):
        samples = stream.resample(samples, last=last)
    pieces = stream.pieces(samples, last=last)
    while True:
        with stages("segment"):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def failed(file: InputFile, schemas: TableSchemas, error: FileError) -> ShardResult:
    """The result of a file that no worker could or should open."""
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
    return ShardResult(
        schemas.segments.empty_table(), files, schemas.speech.empty_table(), Counter(), 0
    )
