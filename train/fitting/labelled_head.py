"""Moving a fitted head towards a user's own labels: the recipe `head`.

    z = mean of the label + offset of the archive + offset of the speaker + noise

z are the embeddings of an offset head, whose noise is the identity. The label means and the
archive's offset are estimated by maximum a posteriori: they start at those of the head, and labels
move them by their number. Twenty labels change little, thousands decide. Then the covariance of the
noise, within labels and speakers, is estimated in the same way, and the whole is repeated in the
embeddings that have the identity as noise again. No gradients: a fit takes milliseconds.

The strengths of the priors were chosen on RAVDESS, ASED and TurEV-DB, each with a head made without
it: docs/results.md, `benchmarks/own_labels.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from models.network import Network
from models.offset_head import SCALARS, Offset, OffsetHead
from train.recipes import HeadSettings

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
ROUNDS = 2  # of the means, and the covariance given these


@dataclass(frozen=True)
class Labelled:
    """Embeddings of labelled segments."""

    embeddings: Floats  # (n, width)
    labels: Numbers  # (n,)
    speakers: Numbers  # (n,): from 0 on; of unknown speakers the recording, or its channel
    durations_s: Floats  # (n,)
    weights: Floats  # (n,): of mean 1

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: NDArray[np.generic]) -> "Labelled":
        """Some of the segments, whose weights have mean 1 again."""
        found = Labelled(*(getattr(self, field.name)[chosen] for field in fields(self)))
        found.weights[:] /= max(found.weights.mean(), 1e-300)
        return found


@dataclass(frozen=True)
class Start:
    """What is known before any label."""

    means: Floats  # (labels, width); zeros for a new label
    known: NDArray[np.bool_]  # (labels,): which the head had
    offset: Floats  # (width,): of the archive
    offset_variance: float
    speakers: float  # the variance of offsets between speakers

    @classmethod
    def of(
        cls,
        head: OffsetHead,
        columns: Sequence[int | None],
        mean: Floats,
        offset: Offset,
    ) -> "Start":
        """From a head; `columns` are the numbers in it of the new head's labels, None for new ones.

        `mean` (width,) is that of the archive's embeddings, with labels or without, and `offset`
        the archive's, estimated without labels.
        """
        numbers = head.numbers
        means = np.zeros((len(columns), len(mean)))
        for label, column in enumerate(columns):
            if column is not None:
                means[label, :numbers] = head.means[column].double().numpy()
        values = mean.copy()  # in the numbers in which the head has no offset
        values[:numbers] = offset.values
        variance = float(np.trace(offset.covariance)) / numbers
        known = np.array([column is not None for column in columns])
        return cls(means, known, values, variance, float(head.speakers))


@dataclass(frozen=True)
class MovedHead:
    """A head for embeddings axes @ z, in which the noise is the identity again."""

    axes: Floats  # (width, width)
    head: OffsetHead

    def embed(self, embeddings: Floats) -> Floats:
        """Embeddings (n, width) of the head that was moved to those of this one."""
        return np.asarray(embeddings @ self.axes.T)


def move_head(
    earlier: OffsetHead, labelled: Labelled, start: Start, settings: HeadSettings
) -> MovedHead:
    """Move a head towards labels; spreads and the noise of short segments stay.

    Its usual offset is that of the labelled archive.
    """
    width = labelled.embeddings.shape[1]
    whitening = np.eye(width)
    for _ in range(ROUNDS):
        residuals = _estimate(labelled, start, settings, whitening).residuals
        within = np.linalg.solve(whitening, residuals.T)  # in the embeddings as they were
        scatter = (within * labelled.weights) @ within.T
        strength = settings.covariance_strength
        covariance = (strength * np.eye(width) + scatter) / (strength + len(labelled))
        lower = cholesky(covariance, lower=True)
        whitening = solve_triangular(lower, np.eye(width), lower=True)
    found = _estimate(labelled, start, settings, whitening)
    centre = found.means.mean(0)
    means, offset = found.means - centre, found.offset + centre  # the same scores
    numbers = min(len(means) - 1, width)
    span = np.linalg.svd(means)[2]  # (width, width), the first ones span the means
    head = OffsetHead(len(means), width)
    head.means.copy_(torch.from_numpy(means @ span[:numbers].T))
    head.usual.copy_(torch.from_numpy(span[:numbers] @ offset))
    for name in SCALARS:
        getattr(head, name).copy_(getattr(earlier, name))
    return MovedHead(span @ whitening, head)


@dataclass(frozen=True)
class _Estimate:
    """The most probable means and offset, and what they leave."""

    means: Floats  # (labels, width)
    offset: Floats  # (width,)
    residuals: Floats  # (n, width), within labels and speakers


def _estimate(
    labelled: Labelled, start: Start, settings: HeadSettings, whitening: Floats
) -> _Estimate:
    """By one linear system, in which the offsets of speakers are integrated out.

    Source: Henderson's equations for mixed models (Henderson 1975, Biometrics).
    """
    z, weights = labelled.embeddings @ whitening.T, labelled.weights
    count = len(start.means)
    design = np.zeros((len(z), count + 1))  # of the label, and of the archive
    design[np.arange(len(z)), labelled.labels] = 1
    design[:, count] = 1
    size = int(labelled.speakers.max()) + 1
    of_speaker, total = np.zeros((size, count + 1)), np.zeros((size, z.shape[1]))
    np.add.at(of_speaker, labelled.speakers, design * weights[:, None])
    np.add.at(total, labelled.speakers, z * weights[:, None])
    shrunk = 1 / (of_speaker[:, count] + 1 / max(start.speakers, 1e-9))
    variances = np.where(start.known, settings.label_variance, settings.new_label_variance)
    precision = 1 / np.append(variances, max(start.offset_variance, 1e-9))
    prior = np.vstack([start.means, start.offset]) @ whitening.T
    matrix = design.T @ (design * weights[:, None]) + np.diag(precision)
    matrix -= (of_speaker * shrunk[:, None]).T @ of_speaker
    right = design.T @ (z * weights[:, None]) + precision[:, None] * prior
    right -= (of_speaker * shrunk[:, None]).T @ total
    found = np.linalg.solve(matrix, right)
    speakers = (total - of_speaker @ found) * shrunk[:, None]
    return _Estimate(
        means=np.asarray(found[:count]),
        offset=np.asarray(found[count]),
        residuals=z - design @ found - speakers[labelled.speakers],
    )


@torch.no_grad()
def set_moved_head(network: Network, moved: MovedHead) -> None:
    """Put a moved head into a network whose projection is that of the earlier head."""
    _, _, projection = network.projection_parts()
    axes = torch.from_numpy(moved.axes)
    projection.weight.copy_((axes @ projection.weight.double()).float())
    projection.bias.copy_((axes @ projection.bias.double()).float())
    head = network.head
    assert isinstance(head, OffsetHead)  # `train.head` refuses others
    head.load_state_dict(moved.head.state_dict())
