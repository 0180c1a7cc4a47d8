"""What every architecture is: a network that names its front end and gives logits."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from batch_ser.features import Features

OPEN = 0.3  # share of all experts alike, whatever a group is like: other corpora are like none


class Network(nn.Module):
    """Features to logits, in three parts: what training never changes, the embedding, the head.

    `lower` is empty unless a network has frozen layers; training may cache what it gives. The
    embedding of a segment (`run --embeddings` stores it) is what the light heads hear.
    `pretrained` names the module that comes with learned weights and may have a learning rate of
    its own. `settings` is a frozen dataclass that the checkpoint stores.
    """

    front_end: ClassVar[str]  # a name in `batch_ser.features.FRONT_ENDS`
    pretrained: str | None = None
    front_end_settings: Mapping[str, Any] = MappingProxyType({})
    rate_hz: int
    max_input_s: float
    embedding_width: int  # numbers of an embedding; 0: the network has none
    state_s = 0.0  # seconds between the states of its `listener`
    imitation_s = 0.0  # seconds between the frames of `imitate`; 0: it imitates nothing
    adapts = False  # whether it has a second head, for embeddings relative to their group
    centre: Tensor  # (embedding_width,): of such a network, the mean of its training's embeddings
    spread: Tensor  # (embedding_width,): their standard deviation within a voice
    known: Tensor  # (corpora, labels): 1 where a corpus's expert has learned a label, else 0
    settings: Any
    encoder: nn.Module  # of networks with one: of a teacher what `listener` gives, of a student

    def lower(self, features: Features) -> Features:
        """The frozen part: features to features, (batch, width, time)."""
        return features

    def represent(self, features: Features) -> Tensor:
        """The part that learns: what `lower` gives to embeddings (batch, embedding_width)."""
        raise NotImplementedError

    def classify(self, embeddings: Tensor) -> Tensor:
        """The head: embeddings to logits (batch, labels)."""
        raise NotImplementedError

    def add_experts(self, pooled: int, labels: int, corpora: int) -> None:
        """A second head, for embeddings relative to their group, and what these are like.

        How people, languages and microphones show an emotion differs from corpus to corpus: each
        has an expert, linear in the same `pooled` numbers as what the first head hears, and a gate
        hears in a group's mean which corpora it is like. An embedding's last numbers are what the
        experts say: relative to a group's mean they are what they would say of relative sounds.
        """
        self.experts = nn.Linear(pooled, corpora * labels)
        self.gate = nn.Linear(self.embedding_width, corpora)
        self.embedding_width += corpora * labels
        self.adapts = True
        self.register_buffer("known", torch.ones(corpora, labels))
        self.register_buffer("centre", torch.zeros(self.embedding_width))
        self.register_buffer("spread", torch.ones(self.embedding_width))

    @property
    def heard_width(self) -> int:
        """How many of an embedding's numbers, the first ones, the first head hears."""
        return self.embedding_width - (self.known.numel() if self.adapts else 0)

    def statistics(self, features: Features) -> Tensor:
        """Of a network with experts: what they hear (batch, pooled) of what `lower` gives."""
        raise NotImplementedError

    def with_experts(self, heard: Tensor, pooled: Tensor) -> Tensor:
        """Embeddings (batch, embedding_width) of what the first head hears, and the experts.

        They are regressions, fitted when all else has learned: no gradient reaches them.
        """
        if not self.adapts:
            return heard
        with torch.no_grad():
            said = self.experts(pooled)
        return torch.cat([heard, said.to(heard.dtype)], dim=1)

    def resemblance(self, offsets: Tensor) -> Tensor:
        """How far each expert counts (batch, corpora) in groups whose means lie at `offsets`
        (batch, embedding_width) from `centre`; each row sums to one.
        """
        like: Tensor = self.gate(offsets[:, : self.heard_width]).softmax(1)
        return (1 - OPEN) * like + OPEN / like.shape[1]

    def classify_adapted(self, embeddings: Tensor, shares: Tensor) -> Tensor:
        """The head for groups: embeddings, moved so that their group's mean is `centre`, to
        logits (batch, labels); the experts count by `shares` (batch, corpora).

        Each label is judged by the experts that know it, and is the likelier, the more they count:
        a group that is like a corpus of four emotions has hardly a fifth.
        """
        said = embeddings[:, self.heard_width :].reshape(len(embeddings), *self.known.shape)
        labels = self.known.sum(1)[:, None].clamp(min=1)
        said = said - (said * self.known).sum(2, keepdim=True) / labels
        counts = shares[:, :, None] * self.known
        knowing = counts.sum(1).clamp(min=1e-6)
        return (said * counts).sum(1) / knowing + knowing.log()

    def upper(self, features: Features) -> Tensor:
        """Everything that learns: what `lower` gives to logits (batch, labels)."""
        return self.classify(self.represent(features))

    def forward(self, features: Features) -> Tensor:
        """Logits (batch, labels)."""
        return self.upper(self.lower(features))

    def listener(self, layers: int) -> nn.Module | None:
        """The frozen part that a student may imitate: features to a list of states, each (batch,
        time, width), and their mask (batch, time), of the lowest `layers` that are heard. None:
        there is none.
        """
        del layers
        return None

    def imitate(self, features: Features) -> Tensor:
        """Of a student: what its module `encoder` takes for its teacher's states (batch, time,
        axes), a frame every `imitation_s`.
        """
        raise NotImplementedError

    def fit_statistics(self, batches: Iterable[Features]) -> None:
        """Before the first epoch: take from a training set, as `lower` gives it, what scales it.

        A network with a `Scaling` learns each band's mean and deviation.
        """
        if not isinstance(scaling := getattr(self, "scaling", None), Scaling):
            return
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for values, _ in batches:  # every front end of these networks gives a fixed length
            count += values.shape[0] * values.shape[2]
            total = total + values.double().sum((0, 2))
            squares = squares + values.double().square().sum((0, 2))
        mean = total / count
        scaling.fit(mean.float(), (squares / count - mean**2).clamp(min=0).sqrt().float())

    def frozen_settings(self) -> object:
        """The settings on which `lower` depends: what training caches is known by them."""
        return self.settings

    def stored_settings(self) -> dict[str, Any]:
        """Settings as a checkpoint stores them."""
        return asdict(self.settings)


class Scaling(nn.Module):
    """Standardises each band (or coefficient) by statistics of the training set.

    They are buffers, so that they travel in the checkpoint.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(bands, 1))
        self.register_buffer("deviation", torch.ones(bands, 1))

    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the statistics of a training set, each (bands,)."""
        self.mean.copy_(mean[:, None])
        self.deviation.copy_(deviation.clamp(min=1e-5)[:, None])

    def forward(self, values: Tensor) -> Tensor:
        """Values (batch, bands, frames), standardised."""
        return (values - self.mean) / self.deviation
