"""One shard of files to rows, without Ray and without writing to disk.

Files are decoded one after the other in blocks; each channel is resampled and segmented; pieces of
segments wait in a pool until there are enough for batches of similar length, across files; a file's
rows are made when all are scored. Memory is bounded by one block per channel and the pool.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from batch_ser.audio import SPLIT, Reading, Samples, channel
from batch_ser.errors import FileError, Incomplete
from batch_ser.inputs import InputFile
from batch_ser.results import FAILED, UNSPLIT, TableSchemas, file_row, is_split, to_table
from batch_ser.segments import SegmentSettings, Source
from jobs.worker.accounts import FileAccount
from jobs.worker.channels import given_of, open_recording
from jobs.worker.fetching import Fetching
from jobs.worker.pool import FilePiece, Pool, as_file_error, check_finite
from jobs.worker.streams import ChannelStream
from jobs.worker.usage import Stages, peak_bytes
from models.batching import BATCH_S, Piece
from models.offsets import ArchiveOffsets
from models.scoring import Checkpoint


@dataclass(frozen=True)
class ShardSettings:
    """The settings of a worker, besides the checkpoint."""

    segment: SegmentSettings
    schemas: TableSchemas
    channels: str = SPLIT  # or mix, or numbers such as 0,1
    batch_s: float = BATCH_S  # padded seconds of audio in one batch
    reading: Reading = field(default_factory=Reading)
    expect: str | None = None  # `--expect`, of a head with an offset
    offsets: ArchiveOffsets | None = None  # of such a head; None: the usual one


@dataclass
class ShardResult:
    """The rows of a shard, one files row for each file."""

    segments: pa.Table
    files: pa.Table
    stage_s: Counter[str]
    peak_bytes: int


def score_shard(
    files: Sequence[InputFile], checkpoint: Checkpoint, settings: ShardSettings
) -> ShardResult:
    """Decode, segment and score the files of one shard."""
    stages, schemas = Stages(), settings.schemas
    pool = Pool(checkpoint, settings.batch_s, stages, embed=schemas.embedding_width > 0)
    accounts, fetching = [], Fetching(files)
    for number, file in enumerate(files):
        accounts.append(account := FileAccount(file, settings.segment.method))
        try:
            if file.error:  # found when it was listed; a million such files are only rows, too
                raise file.error
            with fetching.local(number) as account.file:
                for piece in _decoded(account, checkpoint.info.rate_hz, settings, stages):
                    pool.add(piece)
            account.check_balance()
        except Incomplete:  # no file's fault
            raise
        except Exception as error:
            account.error = as_file_error(error)
    pool.score()
    with stages("rows"):
        if checkpoint.has_offset:
            for account in accounts:
                _score_whole(account, checkpoint, settings)
        segments = _segments_table(accounts, schemas)
        rows = to_table([each.row(schemas.labels) for each in accounts], schemas.files)
    return ShardResult(segments, rows, stages.seconds, peak_bytes())


def _segments_table(accounts: Sequence[FileAccount], schemas: TableSchemas) -> pa.Table:
    """The rows of all files in one table: one for each file would take 18 kB, whatever it holds."""
    rows = [row for account in accounts for row in account.segment_rows(schemas)]
    names = schemas.segments.names
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    return pa.table(columns, schema=schemas.segments)


def _decoded(
    account: FileAccount, rate_hz: int, settings: ShardSettings, stages: Stages
) -> Iterator[FilePiece]:
    """Decode a file once, and yield the pieces of each channel as they are complete."""
    with stages("decode"):
        opened = account.opened = open_recording(
            account.file.path, settings.reading, settings.channels, account.given
        )
    if opened.error:
        raise opened.error
    source = Source(opened.recording.rate_hz, rate_hz)
    account.streams = [
        ChannelStream(number, source, settings.segment, given_of(account.given, number))
        for number in opened.numbers
    ]
    blocks = opened.recording.blocks()
    while True:
        with stages("decode"):
            block = next(blocks, None)
        for stream in account.streams:
            for piece in _pieces(stream, block, stages):
                yield FilePiece(piece.samples, piece.weight, piece.means, account)
        if block is None:
            return


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


def _score_whole(account: FileAccount, checkpoint: Checkpoint, settings: ShardSettings) -> None:
    """Score a file's segments by a head with an offset, each whole."""
    if account.error or not account.opened:
        return
    rate_hz = account.opened.recording.rate_hz
    scored = [stream for stream in account.streams if stream.scores]
    split = bool(is_split(np.array([stream.number for stream in scored], np.int64)).any())
    try:
        for stream in scored:
            lengths = np.array([each.end - each.start for each in stream.scores], np.float64)
            condition = stream.number if split else UNSPLIT
            probabilities = checkpoint.score_embeddings(
                np.stack([each.embedding for each in stream.scores]),
                lengths / rate_hz,
                settings.offsets.of(condition) if settings.offsets else None,
                settings.expect,
            )
            check_finite(probabilities)
            for score, each in zip(stream.scores, probabilities, strict=True):
                score.probabilities = each
    except Exception as error:
        account.error = as_file_error(error)


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
    return ShardResult(schemas.segments.empty_table(), files, Counter(), 0)
