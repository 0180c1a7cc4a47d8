"""Scoring: segments to calibrated probabilities, whatever their neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.audio import Resampler, Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import Features, front_end
from batch_ser.results import rounded
from batch_ser.segments import Span, in_pieces
from models.checkpoint import CheckpointInfo
from models.expectation import NATURAL_SHARES, Expectation, expectation
from models.network import Network
from models.offset_head import Offset, OffsetHead, posterior

Probabilities = NDArray[np.float32]
Embeddings = NDArray[np.float32]
WIDEST = 256  # numbers of an embedding that a job stores
BATCH_S = 64.0  # padded seconds of audio in one batch


class Checkpoint:
    """A trained network, ready to score."""

    def __init__(
        self, info: CheckpointInfo, network: Network, digest: str, device: str = "cpu"
    ) -> None:
        self.info = info
        self.digest = digest
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()
        if self._device.type == "cuda":  # TF32 would move scores by more than 1e-4
            torch.backends.cudnn.allow_tf32 = False
        self._front_end = front_end(info.front_end, info.front_end_settings)

    @property
    def has_offset(self) -> bool:
        """Whether scores depend on the offset of a segment's archive."""
        return self._network.has_offset

    @property
    def head(self) -> OffsetHead:
        """The head that estimates offsets, and scores embeddings given one.

        Raises:
            CheckpointError: the network has another head.
        """
        self.check_offset()
        head = self._network.head
        assert isinstance(head, OffsetHead)
        return head

    def check_offset(self) -> None:
        """Refuse a head without an offset.

        Raises:
            CheckpointError: it has none.
        """
        if not self.has_offset:
            raise CheckpointError(
                f"the checkpoint {self.info.name} has no offset head; expected one that has, such "
                "as accurate or fast, or --adapt none without --expect"
            )

    def expectation(self, text: str | None = None) -> Expectation:
        """What `--expect` says, for this checkpoint's labels.

        Raises:
            UsageError: a label that it does not have, or shares that are none.
        """
        return expectation(text, self.info.labels, NATURAL_SHARES | self.info.natural)

    def score_batch(self, segments: Sequence[Samples]) -> Probabilities:
        """Calibrated probabilities (n, labels) of segments, each (samples,) at `info.rate_hz` and
        at most `info.max_input_s` long. They do not depend on each other: at most 1e-4 apart.
        """
        features = self.features(segments)
        if not self.has_offset:
            return self.classify(features)
        lengths = np.array([len(samples) for samples in segments], np.float64)
        return self.score_embeddings(self.embed(features), lengths / self.info.rate_hz)

    def features(self, segments: Sequence[Samples]) -> Features:
        """The front end alone: segments to a batch of features."""
        with torch.inference_mode():
            return self._front_end(segments, self._device)

    def classify(self, features: Features) -> Probabilities:
        """Of a head without an offset: features to calibrated probabilities (n, labels)."""
        with torch.inference_mode():
            return self._calibrated(self._network(features))

    def embed(self, features: Features) -> Embeddings:
        """The network without its head: features to embeddings (n, width)."""
        with torch.inference_mode():
            embeddings = self._network.represent(self._network.lower(features))
        return np.asarray(embeddings.cpu())

    def classify_and_embed(self, features: Features) -> tuple[Probabilities, Embeddings]:
        """What `classify` gives, and the embeddings (n, width) that it rests on."""
        with torch.inference_mode():
            embeddings = self._network.represent(self._network.lower(features))
            scores = self._calibrated(self._network.classify(embeddings))
        return scores, np.asarray(embeddings.cpu())

    def score_embeddings(
        self,
        embeddings: NDArray[np.floating],
        durations_s: NDArray[np.float64],
        offset: Offset | None = None,
        expect: str | None = None,
    ) -> Probabilities:
        """Calibrated probabilities (n, labels) of segments with embeddings (n, width) and lengths
        (n,), given the offset of their archive (none: the usual one) and what it is expected to
        hold. Embeddings count as a table stores them.
        """
        prior = self.expectation(expect).prior
        stored = rounded(embeddings).astype(np.float64)
        scores = self.head.log_likelihoods(stored, durations_s, offset or self.head.usual_offset())
        return posterior(scores, prior, self.info.temperature)

    @property
    def embedding_width(self) -> int:
        """Numbers of an embedding.

        Raises:
            CheckpointError: the network has none, or one of more than 256 numbers.
        """
        width = self._network.embedding_width
        if not 0 < width <= WIDEST:
            raise CheckpointError(
                f"the checkpoint {self.info.name} has "
                f"{f'an embedding of {width:,} numbers' if width else 'no embedding'}, expected "
                f"one of at most {WIDEST}, such as the recipe accurate makes"
            )
        return width

    def _calibrated(self, logits: torch.Tensor) -> Probabilities:
        return np.asarray(torch.softmax(logits / self.info.temperature, dim=1).cpu())

    def score(
        self,
        samples: Samples,
        rate_hz: int,
        offset: Offset | None = None,
        expect: str | None = None,
    ) -> Probabilities:
        """Probabilities (labels,) of one segment of any length and rate, mono (samples,).

        Longer than the network takes: of the mean over its pieces, weighted by their new seconds.

        Raises:
            ValueError: not one-dimensional, or empty.
            CheckpointError: an offset or an expectation, and the head has none.
        """
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"found samples of shape {samples.shape}, expected (n,) with n > 0")
        resample = Resampler(rate_hz, self.info.rate_hz)
        parts = [resample(samples.astype(np.float32)), resample(np.zeros(0, np.float32), last=True)]
        scores: Probabilities = self.score_all([np.concatenate(parts)], offset, expect)[0]
        return scores

    def score_all(
        self, segments: Sequence[Samples], offset: Offset | None = None, expect: str | None = None
    ) -> Probabilities:
        """Probabilities (n, labels) of segments of any length at `info.rate_hz`, in batches."""
        if offset is not None or expect is not None:
            self.check_offset()
        if not self.has_offset:
            return self._score_pieces(segments, 0)[0]
        lengths = np.array([len(each) for each in segments], np.float64)
        durations_s = lengths / self.info.rate_hz
        return self.score_embeddings(self.embed_all(segments), durations_s, offset, expect)

    def embed_all(self, segments: Sequence[Samples]) -> Embeddings:
        """Embeddings (n, width) of segments of any length at `info.rate_hz`, in batches."""
        return self._score_pieces(segments, self.embedding_width)[1]

    def _score_pieces(
        self, segments: Sequence[Samples], width: int
    ) -> tuple[Probabilities, Embeddings]:
        """Probabilities (n, labels) where the head has no offset, and embeddings (n, width) unless
        the width is 0: means over the pieces that the network takes, by their new samples.
        """
        most = round(self.info.max_input_s * self.info.rate_hz)
        pieces = [
            (row, each) for row, one in enumerate(segments) for each in in_pieces(0, one, most)
        ]
        pieces.sort(key=lambda piece: len(_heard(piece[1])))
        total = np.zeros((len(segments), len(self.info.labels)))
        embedded = np.zeros((len(segments), width))
        weights = np.zeros((len(segments), 1))
        while pieces:
            longest = len(_heard(pieces[-1][1]))
            count = max(1, round(BATCH_S * self.info.rate_hz) // longest)
            batch, pieces = pieces[-count:], pieces[:-count]
            features = self.features([_heard(piece) for _, piece in batch])
            scores, embeddings = self.represent(features, width > 0)
            for (row, piece), score, embedding in zip(batch, scores, embeddings, strict=True):
                total[row] += score.astype(np.float64) * (piece.end - piece.start)
                embedded[row] += embedding.astype(np.float64) * (piece.end - piece.start)
                weights[row] += piece.end - piece.start
        mean = total / np.maximum(total.sum(1, keepdims=True), 1e-12)
        return mean.astype(np.float32), (embedded / weights).astype(np.float32)

    def represent(self, features: Features, embed: bool) -> tuple[Probabilities, Embeddings]:
        """Of a batch of pieces, what segments are made of: probabilities (n, labels), zeros where
        the head has an offset and scores whole segments, and embeddings (n, width or 0).
        """
        count = len(features.frames)
        if self.has_offset:
            return np.zeros((count, len(self.info.labels)), np.float32), self.embed(features)
        if embed:
            return self.classify_and_embed(features)
        return self.classify(features), np.zeros((count, 0), np.float32)


def _heard(piece: Span) -> Samples:
    assert piece.samples is not None
    return piece.samples
