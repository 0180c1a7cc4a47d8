"""Scores of segments by a head with an offset, which takes each whole, not its pieces."""

import numpy as np

from batch_ser.results import UNSPLIT
from jobs.worker.accounts import FileAccount
from jobs.worker.pool import as_file_error, check_finite
from models.offsets import ArchiveOffsets
from models.scoring import Checkpoint


def score_whole(
    account: FileAccount,
    checkpoint: Checkpoint,
    offsets: ArchiveOffsets | None,
    expect: str | None,
) -> None:
    """Score a file's segments, as far as all pieces of each are, by a head with an offset."""
    if account.error or not account.opened or not checkpoint.has_offset:
        return
    rate_hz = account.opened.recording.rate_hz
    split = account.is_split
    try:
        for stream in account.streams:
            scores = [s for s in stream.scores if s.is_scored and not s.is_scored_whole]
            if not scores:
                continue
            lengths = np.array([each.end - each.start for each in scores], np.float64)
            condition = stream.number if split else UNSPLIT
            probabilities = checkpoint.score_embeddings(
                np.stack([each.embedding for each in scores]),
                lengths / rate_hz,
                offsets.of(condition) if offsets else None,
                expect,
            )
            check_finite(probabilities)
            for score, each in zip(scores, probabilities, strict=True):
                score.probabilities = each
    except Exception as error:
        account.error = as_file_error(error)
