"""Scoring: segments to calibrated probabilities, whatever their neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.errors import CheckpointError
from batch_ser.features import Features, front_end
from batch_ser.groups import Group
from batch_ser.resample import Resampler
from batch_ser.samples import Samples
from batch_ser.segment import Span, in_pieces
from models.adapting import adapt
from models.checkpoint import CheckpointInfo
from models.network import Network

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

    def score_batch(self, segments: Sequence[Samples]) -> Probabilities:
        """Calibrated probabilities (n, labels) of segments, each (samples,) at `info.rate_hz` and
        at most `info.max_input_s` long. They do not depend on each other: at most 1e-4 apart.
        """
        return self.classify(self.features(segments))

    def features(self, segments: Sequence[Samples]) -> Features:
        """The front end alone: segments to a batch of features."""
        with torch.inference_mode():
            return self._front_end(segments, self._device)

    def classify(self, features: Features) -> Probabilities:
        """The network alone: features to calibrated probabilities (n, labels)."""
        with torch.inference_mode():
            return self._calibrated(self._network(features))

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

    def classify_and_embed(self, features: Features) -> tuple[Probabilities, Embeddings]:
        """Calibrated probabilities (n, labels), and the embeddings (n, width) that they rest on."""
        with torch.inference_mode():
            embeddings = self._network.represent(self._network.lower(features))
            scores = self._calibrated(self._network.classify(embeddings))
        return scores, np.asarray(embeddings.cpu())

    def check_adapts(self) -> None:
        """Whether the network has a head for segments relative to their group.

        Raises:
            CheckpointError: it has none.
        """
        if not self._network.adapts:
            raise CheckpointError(
                f"the checkpoint {self.info.name} has no head for adaptation; expected one that "
                "has, such as the recipe accurate makes, or --adapt none"
            )

    def adapt(
        self,
        embeddings: Embeddings,
        probabilities: Probabilities,
        group: Group,
        balanced: bool = False,
    ) -> Probabilities:
        """Probabilities (n, labels) in the light of each segment's group: `models.adapting`."""
        temperature = self.info.adapted_temperature or self.info.temperature
        return adapt(self._network, temperature, embeddings, probabilities, group, balanced)

    def _calibrated(self, logits: torch.Tensor) -> Probabilities:
        return np.asarray(torch.softmax(logits / self.info.temperature, dim=1).cpu())

    def score(self, samples: Samples, rate_hz: int) -> Probabilities:
        """Probabilities (labels,) of one segment of any length and rate, mono (samples,).

        Longer than the network takes: the mean over its pieces, weighted by their new seconds.

        Raises:
            ValueError: not one-dimensional, or empty.
        """
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"found samples of shape {samples.shape}, expected (n,) with n > 0")
        resample = Resampler(rate_hz, self.info.rate_hz)
        parts = [resample(samples.astype(np.float32)), resample(np.zeros(0, np.float32), last=True)]
        scores: Probabilities = self.score_all([np.concatenate(parts)])[0]
        return scores

    def score_all(self, segments: Sequence[Samples]) -> Probabilities:
        """Probabilities (n, labels) of segments of any length at `info.rate_hz`, in batches."""
        return self._score_all(segments, 0)[0]

    def score_and_embed_all(self, segments: Sequence[Samples]) -> tuple[Probabilities, Embeddings]:
        """The same, and the embeddings (n, width) that they rest on."""
        return self._score_all(segments, self.embedding_width)

    def _score_all(
        self, segments: Sequence[Samples], width: int
    ) -> tuple[Probabilities, Embeddings]:
        """Probabilities (n, labels), and embeddings (n, width) unless the width is 0."""
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
            if width:
                scores, embeddings = self.classify_and_embed(features)
            else:
                scores, embeddings = self.classify(features), np.zeros((len(batch), 0), np.float32)
            for (row, piece), score, embedding in zip(batch, scores, embeddings, strict=True):
                total[row] += score.astype(np.float64) * (piece.end - piece.start)
                embedded[row] += embedding.astype(np.float64) * (piece.end - piece.start)
                weights[row] += piece.end - piece.start
        mean = total / total.sum(1, keepdims=True)
        return mean.astype(np.float32), (embedded / weights).astype(np.float32)


def _heard(piece: Span) -> Samples:
    assert piece.samples is not None
    return piece.samples
