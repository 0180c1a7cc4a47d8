"""The interface of every architecture: a front end by name, and features to logits."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from batch_ser.features import Features, FrontEnd
from batch_ser.features import front_end as front_end_by
from models.offset_head import OffsetHead


class Network(nn.Module):
    """Features to logits in three parts: frozen layers, embedding, head.

    `forward_frozen` is the identity unless a network has frozen layers; training may cache its
    output. The embedding of a segment (`run --embeddings` stores it) is the input of the light
    heads. `pretrained` names the module that comes with learned weights and may have a learning
    rate of its own. `settings` is a frozen dataclass that the checkpoint stores.
    """

    front_end: ClassVar[str]  # a name in `batch_ser.features.FRONT_ENDS`
    pretrained: str | None = None
    front_end_settings: Mapping[str, Any] = MappingProxyType({})
    rate_hz: int
    max_input_s: float
    embedding_width: int  # numbers of an embedding; 0: the network has none
    predicted_step_s = 0.0  # between the frames of `predict_states`; 0: it predicts none
    settings: Any
    encoder: nn.Module  # of networks with one
    runtime = "torch float32"  # part of a job's fingerprint

    def features_by(self, settings: Mapping[str, Any]) -> FrontEnd:
        """The front end with its settings, as a checkpoint stores them.

        Raises:
            CheckpointError: settings that it does not have.
        """
        return front_end_by(self.front_end, settings)

    def forward_frozen(self, features: Features) -> Features:
        """The frozen layers: features to features (batch, width, time)."""
        return features

    def forward_embedding(self, features: Features) -> Tensor:
        """The output of `forward_frozen` to embeddings (batch, embedding_width)."""
        raise NotImplementedError

    def forward_head(self, embeddings: Tensor) -> Tensor:
        """The head: embeddings to logits (batch, labels)."""
        raise NotImplementedError

    def statistics(self, features: Features) -> Tensor:
        """Of a network that pools: standardised statistics (batch, pooled) over time.

        `features` are the output of `forward_frozen`; the embedding is linear in the statistics.
        """
        raise NotImplementedError

    def projection_parts(self) -> tuple[Tensor, Tensor, nn.Linear]:
        """Of a network whose head has an offset: shift (pooled,), scale (pooled,), and the linear
        layer from statistics to embeddings.
        """
        raise NotImplementedError

    @property
    def has_offset(self) -> bool:
        """Whether its head scores embeddings given the offset of their archive."""
        return isinstance(getattr(self, "head", None), OffsetHead)

    def forward_trainable(self, features: Features) -> Tensor:
        """Everything that is trained: the output of `forward_frozen` to logits (batch, labels)."""
        return self.forward_head(self.forward_embedding(features))

    def forward(self, features: Features) -> Tensor:
        """Logits (batch, labels)."""
        return self.forward_trainable(self.forward_frozen(features))

    def predict_states(self, features: Features) -> Tensor:
        """Of a student: its encoder's prediction of the teacher's states (batch, time, axes).

        A frame every `predicted_step_s`.
        """
        raise NotImplementedError

    def fit_statistics(self, batches: Iterable[Features]) -> None:
        """Take the statistics of a training set, before the first epoch.

        `batches` are outputs of `forward_frozen`. A network with a `Scaling` takes each band's mean
        and deviation.
        """
        if not isinstance(scaling := getattr(self, "scaling", None), Scaling):
            return
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for values, _ in batches:  # of a fixed length: these networks' front ends pad
            count += values.shape[0] * values.shape[2]
            total = total + values.double().sum((0, 2))
            squares = squares + values.double().square().sum((0, 2))
        mean = total / count
        scaling.fit(mean.float(), (squares / count - mean**2).clamp(min=0).sqrt().float())

    def frozen_settings(self) -> object:
        """The settings on which `forward_frozen` depends: part of the key of cached features."""
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
