"""Fitting the offset head: regularised linear discriminant analysis on pooled statistics.

statistics = mean of the label + offset of the corpus + noise. Means and offsets are fitted
together by least squares, since corpora lack labels. The covariance of the noise is that of the
residuals, plus that of the corpora's disagreement about each label, since what only one of them
shows does not carry over to other corpora. It is shrunk towards a multiple of the identity. No
gradients; a fit takes seconds.

The effect of each part on corpora left out: docs/results.md, `benchmarks/recipe.py`.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from train.fitting.weighting import moments
from train.recipes import LDASettings

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
ORDINARY = -1  # the label of ordinary speech: neutral has another number in each training
ROUNDS = 200  # of alternating least squares, at most
CONVERGED = 1e-10


@dataclass(frozen=True)
class Sample:
    """Statistics of recordings, and the numbers of their labels, corpora and speakers."""

    statistics: NDArray[np.float32]  # (n, width)
    labels: Numbers  # (n,): ORDINARY for ordinary speech
    corpora: Numbers  # (n,)
    speakers: Numbers  # (n,): -1 for an unknown speaker
    recordings: Numbers  # (n,): several rows of one recording are views of it
    durations_s: Floats  # (n,)
    weights: Floats  # (n,): how much a recording counts beside others of its corpus and label

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: NDArray[np.bool_]) -> "Sample":
        """Some of the rows."""
        return Sample(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def is_ordinary(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels == ORDINARY)


@dataclass(frozen=True)
class Discriminant:
    """A fitted model: z = projection (statistics - shift), with the identity as noise."""

    shift: Floats  # (width,)
    projection: Floats  # (numbers in all, width)
    means: Floats  # (labels, labels - 1); zeros for a label without recordings
    known: NDArray[np.bool_]  # (labels,): which have recordings
    usual: Floats  # (labels - 1,): the offset of ordinary speech
    of_training: Floats  # (labels - 1,): the mean offset of the labelled corpora

    @property
    def numbers(self) -> int:
        """The numbers of an embedding in which the means of the labels differ."""
        return int(self.means.shape[1])

    def embed(self, statistics: NDArray[np.float32]) -> Floats:
        """The numbers of embeddings that scores depend on (n, numbers)."""
        return np.asarray((statistics - self.shift) @ self.projection[: self.numbers].T)


def fit_discriminant(
    sample: Sample, labels: int, width: int, neutral: int | None, settings: LDASettings
) -> Discriminant:
    """Fit on labelled recordings and ordinary speech; `neutral` is that label's number.

    `width` is how many numbers an embedding has at the most.
    """
    labelled = _relative(sample.rows(~sample.is_ordinary))
    ordinary = sample.rows(sample.is_ordinary)
    shift = labelled.statistics.mean(0).astype(np.float64)
    scale = 1 / _spread(labelled)
    x = (labelled.statistics - shift) * scale
    weights = _weights(labelled)
    means, offsets = additive(x, labelled.labels, labelled.corpora, weights, labels)
    residuals = x - means[labelled.labels] - offsets[labelled.corpora]
    covariance = (residuals * weights[:, None]).T @ residuals / weights.sum()
    covariance += settings.disagreement * _disagreement(labelled, residuals)
    whitening = _whitening(covariance, settings.shrinkage)
    further = _speaker_means(residuals, labelled)
    axes = _axes(means @ whitening.T, further @ whitening.T, width, labels - 1)
    projection = axes @ whitening
    z_means = means @ projection[: labels - 1].T
    of_training = offsets[np.unique(labelled.corpora)].mean(0) @ projection[: labels - 1].T
    usual = of_training
    known = np.isin(np.arange(labels), labelled.labels)
    if len(ordinary) and neutral is not None and known[neutral]:
        plain = (ordinary.statistics - shift) * scale
        where = [plain[ordinary.corpora == each].mean(0) for each in np.unique(ordinary.corpora)]
        usual = np.mean(where, axis=0) @ projection[: labels - 1].T - z_means[neutral]
    return Discriminant(shift, projection * scale, z_means, known, usual, of_training)


def additive(
    x: Floats, labels: Numbers, groups: Numbers, weights: Floats, count: int
) -> tuple[Floats, Floats]:
    """Means of labels (count, width) and offsets of groups (groups, width), by least squares.

    Their sums fit the rows of `x` (n, width). The means are centred; a label without rows has
    zeros.
    """
    size = int(groups.max()) + 1
    cells, cell = np.unique(groups * count + labels, return_inverse=True)
    total = np.bincount(cell, weights)
    table = np.zeros((len(cells), x.shape[1]))
    np.add.at(table, cell, x * weights[:, None])
    table /= total[:, None]
    group, label = np.divmod(cells, count)
    present = np.unique(label)
    of_label, of_group = _averaging(label, total, count), _averaging(group, total, size)
    means, offsets = np.zeros((count, x.shape[1])), np.zeros((size, x.shape[1]))
    for _ in range(ROUNDS):
        before = means
        means = of_label @ (table - offsets[group])
        means[present] -= means[present].mean(0)
        offsets = of_group @ (table - means[label])
        if np.abs(means - before).max() < CONVERGED:
            break
    return means, offsets


def _averaging(numbers: Numbers, weights: NDArray[np.generic], count: int) -> Floats:
    """The matrix (count, rows) that takes rows to the weighted mean of each number."""
    found = np.zeros((count, len(numbers)))
    found[numbers, np.arange(len(numbers))] = weights
    return np.asarray(found / np.maximum(found.sum(1, keepdims=True), 1e-300))


def _relative(sample: Sample) -> Sample:
    """With weights of 1 on average in each label of a corpus, so that none of these counts more."""
    cell, _ = _cells(sample)
    total = np.bincount(cell, sample.weights) / np.bincount(cell)
    return replace(sample, weights=sample.weights / total[cell])


def _weights(sample: Sample) -> Floats:
    """Weights (n,) by which every corpus counts the same, and in it every label."""
    cell, corpora = _cells(sample)
    labels_of = np.bincount(corpora)  # how many labels a corpus has
    each = labels_of[corpora[cell]]
    return np.asarray(sample.weights / (np.bincount(cell)[cell] * each))


def _cells(sample: Sample) -> tuple[Numbers, Numbers]:
    """The number of each row's label of a corpus (n,), and the corpus of each number (cells,)."""
    cells, cell = np.unique(np.stack([sample.corpora, sample.labels]), axis=1, return_inverse=True)
    return cell.reshape(-1), cells[0]


def _spread(sample: Sample) -> Floats:
    """The mean over corpora of each number's standard deviation (width,)."""
    corpora = np.unique(sample.corpora)
    rows = [sample.corpora == corpus for corpus in corpora]
    every = [moments(sample.statistics[own], sample.weights[own])[1] for own in rows]
    return np.asarray(np.mean(every, axis=0), np.float64) + 1e-3


def _disagreement(sample: Sample, residuals: Floats) -> Floats:
    """The covariance (width, width) of the corpora's disagreement about the labels."""
    cells = np.unique(np.stack([sample.corpora, sample.labels]), axis=1).T
    apart = np.stack(
        [
            np.average(residuals[own], axis=0, weights=sample.weights[own])
            for corpus, label in cells
            for own in [(sample.corpora == corpus) & (sample.labels == label)]
        ]
    )
    return np.asarray(apart.T @ apart / len(cells))


def _whitening(covariance: Floats, shrinkage: float) -> Floats:
    """The matrix (width, width) that takes the shrunk covariance to the identity."""
    size = len(covariance)
    identity = np.eye(size) * np.trace(covariance) / size
    shrunk = (1 - shrinkage) * covariance + shrinkage * identity + 1e-9 * np.eye(size)
    return np.asarray(solve_triangular(cholesky(shrunk, lower=True), np.eye(size), lower=True))


def _speaker_means(residuals: Floats, sample: Sample) -> Floats:
    """The mean residuals of each speaker (speakers, width)."""
    who = np.where(sample.speakers < 0, sample.speakers.max(initial=0) + 1, sample.speakers)
    numbers = np.unique(who, return_inverse=True)[1]
    return _averaging(numbers, sample.weights, int(numbers.max()) + 1) @ residuals


def _axes(means: Floats, further: Floats, width: int, first: int) -> Floats:
    """Orthonormal axes (at most `width`, all numbers).

    The `first` ones span the means of the labels; along the others speakers differ most.
    """
    span = np.linalg.svd(means, full_matrices=False)[2][:first]
    rest = further - further @ span.T @ span
    others = np.linalg.svd(rest, full_matrices=False)[2][: max(width - len(span), 0)]
    return np.linalg.qr(np.concatenate([span, others]).T)[0].T
