"""The head of the shipped checkpoints: linear discriminant analysis with an offset.

    z = mean of the label + offset of where it was recorded + noise

A segment's embedding z is scaled so that the covariance of the noise is the identity. The means of
the labels differ in its first numbers only, one fewer than there are labels: scores depend on these
alone, the further ones leave room for labels to come. The offset is the shift of an archive by its
speakers, rooms, lines and languages. Without recordings of an archive it is the usual one, that of
ordinary speech; a job estimates it from all recordings, by one formula for the archive and for a
channel, a recording or a speaker within it. Its uncertainty makes scores less confident.

Source: Ioffe 2006, Probabilistic Linear Discriminant Analysis, for the model of two covariances.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from batch_ser.errors import UsageError
from batch_ser.results import Sums

Floats = NDArray[np.float64]
Level = Literal["archive", "channel", "speaker"]
SCALARS = ("conditions", "speakers", "mixture", "short_s")


@dataclass(frozen=True)
class Offset:
    """The offset in z of the recordings of an archive, or of a part of it."""

    values: Floats  # (numbers,)
    covariance: Floats  # (numbers, numbers): its uncertainty
    segments: int = 0  # that it was estimated from

    def as_record(self) -> dict[str, Any]:
        """As stored in `run.json`."""
        return {
            "values": self.values.tolist(),
            "covariance": self.covariance.tolist(),
            "segments": self.segments,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], numbers: int) -> "Offset":
        """The inverse of `as_record`.

        Raises:
            UsageError: damaged, of another width, not finite, or with no covariance matrix.
        """
        try:
            values = np.array(record["values"], np.float64)
            covariance = np.array(record["covariance"], np.float64)
            segments = int(record["segments"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                "an offset that is damaged, expected numbers as values, covariance and segments"
            ) from error
        if values.shape != (numbers,) or covariance.shape != (numbers, numbers):
            raise UsageError(
                f"an offset of {values.size} numbers with a covariance of {covariance.size}, "
                f"expected {numbers} with {numbers * numbers}"
            )
        if not (np.isfinite(values).all() and np.isfinite(covariance).all()):
            raise UsageError("an offset that is not finite")
        if not _is_covariance(covariance):
            raise UsageError(
                "an offset whose covariance is not symmetric and positive semi-definite"
            )
        return cls(values, covariance, segments)


def _is_covariance(matrix: Floats) -> bool:
    """Whether a matrix is symmetric and positive semi-definite, but for rounding."""
    rounding = 1e-9 * max(float(np.abs(matrix).max(initial=0)), 1.0)
    symmetric = bool((np.abs(matrix - matrix.T) <= rounding).all())
    return symmetric and bool((np.linalg.eigvalsh(matrix) >= -rounding).all())


class OffsetHead(nn.Module):
    """Means of the labels and variances of offsets, as a checkpoint stores them.

    `conditions` and `speakers` are variances of offsets between corpora, lines or languages, and
    between the speakers of one, in units of the noise; `mixture` is the strength of a Dirichlet
    distribution: how close an archive's mixture of labels is to the expected one; `short_s` is the
    length at which the noise is twice that of a long segment.
    """

    means: Tensor
    usual: Tensor
    conditions: Tensor
    speakers: Tensor
    mixture: Tensor
    short_s: Tensor

    def __init__(self, labels: int, width: int) -> None:
        super().__init__()
        self.numbers = min(labels - 1, width)
        self.register_buffer("means", torch.zeros(labels, self.numbers))
        self.register_buffer("usual", torch.zeros(self.numbers))
        for name in SCALARS:
            self.register_buffer(name, torch.ones(()))

    def check(self) -> None:
        """Refuse variances and lengths below zero, with which no offset can be estimated.

        Raises:
            ValueError: one is.
        """
        for name in SCALARS:
            if (value := float(getattr(self, name))) < 0:
                raise ValueError(f"head.{name} is {value:g}, expected 0 or more")

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits (batch, labels) of embeddings (batch, width), at the usual offset."""
        relative = embeddings[:, : self.numbers] - self.usual
        return relative @ self.means.T - 0.5 * self.means.square().sum(1)

    def usual_offset(self) -> Offset:
        """The offset of an unknown archive."""
        spread = float(self.conditions) * np.eye(self.numbers)
        return Offset(self.usual.cpu().double().numpy(), spread)

    def estimate(self, level: Level, parent: Offset, sums: Sums, shares: Floats) -> Offset:
        """The offset of a group of segments with these `sums`, given its parent's.

        `shares` (labels,) are the expected mixture of labels.

            offset = parent + B (B + V)^-1 (mean - expected mean - parent)

        B is the uncertainty of the parent's offset and the spread of groups within it; V is the
        noise, smaller with more segments, the differences between speakers, smaller with more
        recordings, and the uncertainty of the mixture, which no number of segments removes.
        """
        means = self._means()
        centred = means - shares @ means
        scatter = (centred * shares[:, None]).T @ centred  # of the labels within the mixture
        one = np.eye(self.numbers)
        spread = parent.covariance + self._spread_within(level) * one
        among = 0.0 if level == "speaker" else float(self.speakers) / sums.recordings
        noise = (one + scatter) / sums.segments + among * one
        noise += scatter / (float(self.mixture) + 1)
        gain = np.linalg.solve((spread + noise).T, spread.T).T
        difference = sums.total[: self.numbers] / sums.segments - shares @ means - parent.values
        covariance = spread - gain @ spread
        covariance = (covariance + covariance.T) / 2  # rounding
        return Offset(parent.values + gain @ difference, covariance, sums.segments)

    def _spread_within(self, level: Level) -> float:
        """The variance of groups of a level around their parent, without its own uncertainty."""
        if level == "archive":
            return 0.0  # the covariance of the usual offset is the spread of archives
        return float(self.conditions if level == "channel" else self.speakers)

    def _means(self) -> Floats:
        return np.asarray(self.means.cpu().double().numpy())

    def log_likelihoods(self, embeddings: Floats, durations_s: Floats, offset: Offset) -> Floats:
        """Log-likelihoods (n, labels), but for a term that all labels share.

        Of segments with `embeddings` (n, width) and lengths (n,). Short segments and uncertain
        offsets have more noise.
        """
        values, axes = np.linalg.eigh(offset.covariance)
        relative = (embeddings[:, : self.numbers] - offset.values) @ axes
        means = self._means() @ axes
        noise = 1 + float(self.short_s) / np.maximum(durations_s, 1e-3)
        precision = 1 / (noise[:, None] + np.maximum(values, 0))
        scores = (relative * precision) @ means.T - 0.5 * precision @ np.square(means).T
        return np.asarray(scores)


def posterior(log_likelihoods: Floats, prior: Floats, temperature: float) -> NDArray[np.float32]:
    """Calibrated probabilities (n, labels), each row summing to 1; `prior` (labels,)."""
    with np.errstate(divide="ignore"):
        scores = log_likelihoods / temperature + np.log(prior)
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(scores / scores.sum(1, keepdims=True), np.float32)
