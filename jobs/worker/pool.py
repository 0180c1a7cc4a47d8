"""Pieces of all files of a shard, scored in batches of similar length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch_ser.audio import Samples
from batch_ser.errors import FileError, Reason
from jobs.worker.accounts import FileAccount
from jobs.worker.usage import Stages
from models.batching import Outputs, Piece, Score, score_pieces
from models.scoring import Checkpoint

FULL = 4  # batches: enough pieces to find some of similar length


@dataclass(frozen=True)
class FilePiece(Piece):
    """A piece and the file that it is of."""

    account: FileAccount


class Pool:
    """Pieces that wait until there are enough for batches of similar length.

    With `score`, that scores them, such as another process, and not the checkpoint here.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        batch_s: float,
        stages: Stages,
        *,
        embed: bool,
        score: Score | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._score = score
        self._budget = round(batch_s * checkpoint.info.rate_hz)
        self._stages = stages
        self._embed = embed
        self._waiting: list[FilePiece] = []
        self._samples = 0

    def add(self, piece: FilePiece) -> None:
        """Take a piece, and score all of them if they fill the pool."""
        self._waiting.append(piece)
        self._samples += len(piece.samples)
        if self._samples >= FULL * self._budget:
            self.score()

    def score(self) -> None:
        """Score all pieces but those of files that failed; a file can only fail itself."""
        waiting = [piece for piece in self._waiting if not piece.account.error]
        self._waiting, self._samples = [], 0
        score_pieces(waiting, self._outputs, self._budget, failed=_fail)

    def _outputs(self, pieces: Sequence[Samples]) -> Outputs:
        outputs = self._score(pieces) if self._score else self._scored_here(pieces)
        for each in outputs:
            check_finite(each)
        return outputs

    def _scored_here(self, pieces: Sequence[Samples]) -> Outputs:
        with self._stages("features"):
            features = self._checkpoint.features(pieces)
        with self._stages("model"):
            return self._checkpoint.score_features(features, embed=self._embed)


def check_finite(scores: NDArray[np.floating]) -> None:
    """Refuse scores or embeddings that are no numbers: a table with these would look complete.

    Raises:
        FileError: one is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise FileError(
            Reason.INTERNAL_ERROR,
            "the checkpoint gives it scores that are not finite",
        )


def _fail(piece: FilePiece, error: Exception) -> None:
    piece.account.error = as_file_error(error)


def as_file_error(error: Exception) -> FileError:
    """An unexpected error as that of a file, in one line."""
    if isinstance(error, FileError):
        return error
    if isinstance(error, MemoryError):
        return FileError(Reason.OUT_OF_MEMORY, "there was not enough memory for this recording")
    at = error.__traceback__
    while at and at.tb_next:
        at = at.tb_next
    place = f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})" if at else ""
    return FileError(
        Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}{place}; please report this"
    )
