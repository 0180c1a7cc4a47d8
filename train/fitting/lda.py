"""`fit=lda`: the offset head of a network with a frozen encoder, fitted and calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.features import Features, pad
from models.batching import consecutive
from models.expectation import NEUTRAL
from models.network import Network
from models.offset_head import OffsetHead
from train.data import Utterance
from train.fitting.discriminant import (
    ORDINARY,
    Discriminant,
    Floats,
    Numbers,
    Sample,
    fit_discriminant,
)
from train.fitting.left_out import Part, calibrate, head_of, parts_left_out
from train.fitting.task import Task
from train.fitting.weighting import weights_of
from train.recipes import LDASettings

AT_ONCE = 64


@dataclass(frozen=True)
class FittedHead:
    """A head, the projection that its embeddings need, and the temperature of its scores."""

    fitted: Discriminant
    head: OffsetHead
    temperature: float


def fit_lda(network: Network, task: Task, utterances: Sequence[Utterance]) -> float:
    """Fit the head on train and valid, and return the temperature of its probabilities."""
    sample = sample_of(network, task, utterances)
    found = fit_sample(sample, task.labels, network.embedding_width, task.recipe.lda)
    set_head(network, found)
    return found.temperature


def fit_sample(
    sample: Sample,
    labels: Sequence[str],
    width: int,
    settings: LDASettings,
    parts: Sequence[Part] | None = None,
) -> FittedHead:
    """A head for embeddings of `width` numbers.

    `parts` calibrate it, by default each corpus in turn, left out of a fit on the others.

    Raises:
        UsageError: there is nothing that could be left out.
    """
    neutral = labels.index(NEUTRAL) if NEUTRAL in labels else None
    found = fit_discriminant(sample, len(labels), width, neutral, settings)
    if parts is None:
        parts = parts_left_out(sample, labels, width, settings)
    if not parts:
        raise UsageError(
            "fit=lda: found no speakers or corpora that could be left out to calibrate the head; "
            "expected recordings of two labels from two speakers or more, or recordings whose "
            "speakers are not stated, of which some are left out"
        )
    head = head_of(found, settings, width)
    head.conditions.fill_(_conditions(sample, found, parts, settings))
    if spreads := [each for part in parts if (each := part.speaker_spread()) is not None]:
        head.speakers.fill_(float(np.mean(spreads)))
    return FittedHead(found, head, calibrate(head, parts, settings))


def _conditions(
    sample: Sample, found: Discriminant, parts: Sequence[Part], settings: LDASettings
) -> float:
    """The variance of offsets between corpora, by those that were left out.

    A single corpus has none to be left out. With ordinary speech its own distance from the usual
    offset is the one sample of that variance: the larger of it and the recipe's variance is taken,
    since with too small a one an archive like the corpus keeps the usual offset.
    """
    if len(np.unique(sample.corpora[~sample.is_ordinary])) > 1:
        return float(np.mean([part.condition() for part in parts]))
    distance = float(np.square(found.of_training - found.usual).mean())
    return max(settings.conditions, distance)


def sample_of(network: Network, task: Task, utterances: Sequence[Utterance]) -> Sample:
    """The pooled statistics of every view of train and valid."""
    rows = np.union1d(task.train, task.valid)
    views = range(max(task.recipe.views, 1))
    names = [f"{each.corpus}\n{each.speaker}" if each.speaker else "" for each in utterances]
    speakers = np.unique(names, return_inverse=True)[1] - ("" in names)
    corpora = np.unique([each.corpus for each in utterances], return_inverse=True)[1]
    labels = np.where([each.is_ordinary for each in utterances], ORDINARY, task.targets)
    recordings = np.tile(rows, len(views))
    found = [_of_view(network, task, view, rows) for view in views]
    return Sample(
        statistics=np.concatenate([statistics for statistics, _ in found]),
        labels=labels[recordings],
        corpora=corpora[recordings],
        speakers=speakers[recordings],
        recordings=recordings,
        durations_s=np.concatenate([durations_s for _, durations_s in found]),
        weights=weights_of(utterances)[recordings],
    )


@torch.inference_mode()
def _of_view(
    network: Network, task: Task, view: int, rows: Numbers
) -> tuple[NDArray[np.float32], Floats]:
    """Statistics (rows, width) of recordings in a view, and their lengths in it (rows,)."""
    network.eval()
    features = task.view(view)
    found = []
    for part in consecutive(len(rows), AT_ONCE):
        batch: Features = pad([features.piece(int(row)) for row in rows[part]], task.device)
        found.append(network.statistics(batch).float().cpu().numpy())
    return np.concatenate(found), features.durations_s[rows]


@torch.no_grad()
def set_head(network: Network, found: FittedHead) -> None:
    """Put a fit into its network: the projection behind its pooling, and the head."""
    fitted = found.fitted
    shift, scale, projection = network.projection_parts()
    width = len(fitted.projection)
    shift.copy_(torch.from_numpy(fitted.shift))
    scale.fill_(1.0)
    projection.weight.zero_()
    projection.bias.zero_()
    projection.weight[:width] = torch.from_numpy(fitted.projection).float()
    head = network.head
    assert isinstance(head, OffsetHead)  # `fit=lda` is refused for other heads
    head.load_state_dict(found.head.state_dict())
