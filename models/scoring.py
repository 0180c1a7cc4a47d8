"""Segments to calibrated probabilities, independent of the other segments of a batch."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.audio import Resampler, Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import Features
from batch_ser.results import rounded
from models.batching import (
    BATCH_S,
    Embeddings,
    Outputs,
    Probabilities,
    SegmentMeans,
    segment_means,
)
from models.checkpoint import CheckpointInfo
from models.directory import one_line
from models.expectation import NATURAL_SHARES, Expectation, parse_expectation
from models.network import Network
from models.offset_head import Offset, OffsetHead, posterior

WIDEST = 256  # embedding that a job stores
TRIAL_S, TRIAL_PEAK = 0.1, 1e-3  # of a segment that is scored when a checkpoint is loaded


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
        self._front_end = network.features_by(info.front_end_settings)

    @property
    def runtime(self) -> str:
        """What computes scores, and in which precision: part of the fingerprint."""
        return self._network.runtime

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

    def check_offset(self, instead: str = "") -> None:
        """Refuse a head without an offset; `instead` is another way out, for the message.

        Raises:
            CheckpointError: it has none.
        """
        if not self.has_offset:
            raise CheckpointError(
                f"the checkpoint {self.info.name} has no offset head; expected one that has, such "
                f"as accurate or fast{instead and f', or {instead}'}"
            )

    def expectation(self, text: str | None = None) -> Expectation:
        """`--expect` for this checkpoint's labels.

        Raises:
            UsageError: a label that it does not have, or shares that do not sum to 1.
        """
        return parse_expectation(text, self.info.labels, NATURAL_SHARES | self.info.natural)

    def check_scores(self) -> None:
        """Score a tenth of a second of faint noise, as a trial.

        Raises:
            CheckpointError: it cannot be scored, or its scores are not finite.
        """
        length = round(TRIAL_S * self.info.rate_hz)
        noise = np.random.default_rng(0).uniform(-TRIAL_PEAK, TRIAL_PEAK, length)
        try:
            with np.errstate(all="ignore"):
                scores = self.score_all([noise.astype(np.float32)])
        except Exception as error:  # front end, network and head have errors of many kinds
            raise CheckpointError(f"cannot score a segment: {one_line(error)}") from error
        if not np.isfinite(scores).all():
            raise CheckpointError(
                "its scores are not finite; expected weights that give finite ones: take an "
                "earlier or an undamaged file"
            )

    def features(self, segments: Sequence[Samples]) -> Features:
        """Segments to a batch of features."""
        with torch.inference_mode():
            return self._front_end(segments, self._device)

    def embed(self, features: Features) -> Embeddings:
        """Features to embeddings (n, width)."""
        with torch.inference_mode():
            embeddings = self._network.forward_embedding(self._network.forward_frozen(features))
        return np.asarray(embeddings.cpu())

    def score_features(self, features: Features, *, embed: bool) -> Outputs:
        """Features to calibrated probabilities (n, labels) and embeddings (n, width).

        Probabilities have no columns where the head has an offset, which scores whole segments;
        embeddings have none without `embed`, unless the head has an offset.
        """
        count = len(features.frames)
        if self.has_offset:
            return np.zeros((count, 0), np.float32), self.embed(features)
        with torch.inference_mode():
            if not embed:
                return self._calibrated(self._network(features)), np.zeros((count, 0), np.float32)
            embeddings = self._network.forward_embedding(self._network.forward_frozen(features))
            probabilities = self._calibrated(self._network.forward_head(embeddings))
        return probabilities, np.asarray(embeddings.cpu())

    def score_embeddings(
        self,
        embeddings: NDArray[np.floating],
        durations_s: NDArray[np.float64],
        offset: Offset | None = None,
        expect: str | None = None,
    ) -> Probabilities:
        """Calibrated probabilities (n, labels) of segments by a head with an offset.

        Of embeddings (n, width), rounded as a table stores them, and lengths (n,), given the offset
        of their archive (None: the usual one) and its expected mixture of labels.
        """
        prior = self.expectation(expect).prior
        stored = rounded(embeddings).astype(np.float64)
        scores = self.head.log_likelihoods(stored, durations_s, offset or self.head.usual_offset())
        return posterior(scores, prior, self.info.temperature)

    @property
    def embedding_width(self) -> int:
        """The width of an embedding.

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

        Of a longer segment than the network takes, the mean over its pieces.

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
            means = self._means(segments, embed=False)
            rows = np.array([each.probabilities for each in means], np.float32)
            return rows.reshape(len(segments), len(self.info.labels))
        lengths = np.array([len(each) for each in segments], np.float64)
        embeddings = self._embed_exactly(segments)
        return self.score_embeddings(embeddings, lengths / self.info.rate_hz, offset, expect)

    def embed_all(self, segments: Sequence[Samples]) -> Embeddings:
        """Embeddings (n, width) of segments of any length at `info.rate_hz`, in batches."""
        return self._embed_exactly(segments).astype(np.float32)

    def _embed_exactly(self, segments: Sequence[Samples]) -> NDArray[np.float64]:
        """Embeddings as in a job, before they are rounded to be stored."""
        width = self.embedding_width
        means = self._means(segments, embed=True)
        return np.array([each.embedding for each in means]).reshape(len(segments), width)

    def _means(self, segments: Sequence[Samples], *, embed: bool) -> list[SegmentMeans]:
        """Means over the pieces of each segment."""
        return segment_means(
            segments,
            round(self.info.max_input_s * self.info.rate_hz),
            lambda batch: self.score_features(self.features(batch), embed=embed),
            round(BATCH_S * self.info.rate_hz),
        )
