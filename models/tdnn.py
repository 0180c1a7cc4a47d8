"""A light network of dilated convolutions over time: what the recipe `fast` trains.

Whisper's log-mel bands, a frame every 40 ms after two strided convolutions, residual blocks whose
dilations widen a frame's receptive field to a second: the encoder, which is trained to predict
a larger encoder's states (`train/fitting/distillation.py`) and then frozen. Statistics of its
frames and of these predictions over the active time, an embedding, a light head. A segment keeps
its own length: frames past its end are zeroed before every convolution.

Source: Peddinti et al. 2015 and Snyder et al. 2018 (x-vectors), for the shape.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from batch_ser.features import WHISPER_MELS, Features
from models.fields import Checked
from models.network import Network
from models.offset_head import OffsetHead
from models.pooling import activity, mask_of, padding_mask, statistics_pooling

STRIDE = 4  # log-mel frames of 10 ms to a frame of 40 ms
LONGEST_S = 30.0
HEADS = ("linear", "offset")


@dataclass(frozen=True)
class TDNNSettings(Checked):
    """Sizes and dropout."""

    channels: int = 192
    dilations: tuple[int, ...] = (1, 2, 3, 4, 2)
    predicted: int = 192  # axes of the teacher's states that are predicted for every frame
    hidden: int = 256  # the embedding
    hidden_dropout: float = 0.2  # of pooled statistics
    dropout: float = 0.5  # of the head's input
    head: str = "linear"  # or offset: `OffsetHead`

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.channels, self.predicted, self.hidden, *self.dilations) < 1:
            raise ValueError("channels, predicted, hidden and dilations: expected 1 or more")
        if self.head not in HEADS:
            raise ValueError(f"head {self.head}: expected {' or '.join(HEADS)}")


class MaskedNorm(nn.BatchNorm1d):
    """Batch norm over the frames of segments only; padding stays zero."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # type: ignore[override]
        """`x` (batch, channels, time), `mask` (batch, time) or None without padding."""
        if mask is None or not self.training:
            return masked(super().forward(x), mask)
        frames = super().forward(x.transpose(1, 2)[mask])
        found = torch.zeros_like(x.transpose(1, 2), dtype=frames.dtype)
        found[mask] = frames
        return found.transpose(1, 2)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` (batch, channels, time), zero where a segment has ended."""
    return x if mask is None else x * mask[:, None]


class Block(nn.Module):
    """One residual block: norm, dilated convolution of three frames, GELU."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = MaskedNorm(channels)
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return x + masked(F.gelu(self.convolution(self.norm(x, mask))), mask)


class TDNNEncoder(nn.Module):
    """Log-mel frames to frames of 40 ms, and their prediction of a teacher's states."""

    def __init__(self, settings: TDNNSettings) -> None:
        super().__init__()
        width = settings.channels
        self.first = nn.Conv1d(WHISPER_MELS, width, 3, stride=2, padding=1)
        self.first_norm = MaskedNorm(width)
        self.second = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(width, each) for each in settings.dilations)
        self.last_norm = MaskedNorm(width)
        self.prediction = nn.Linear(width, settings.predicted)

    def forward(self, features: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (batch, time, channels), predicted states (batch, time, predicted), and the mask
        (batch, time), True before each segment's own end.
        """
        early_mask = mask_of((features.frames + 1) // 2, (features.values.shape[2] + 1) // 2)
        mask = mask_of((features.frames + STRIDE - 1) // STRIDE, (early_mask.shape[1] + 1) // 2)
        early, late = padding_mask(early_mask), padding_mask(mask)
        x = masked(F.gelu(self.first_norm(self.first(features.values), early)), early)
        x = masked(F.gelu(self.second(x)), late)
        for block in self.blocks:
            x = block(x, late)
        frames = self.last_norm(x, late).transpose(1, 2)
        return frames, self.prediction(frames), mask


class TDNN(Network):
    """(batch, 80, frames) log-mel -> 25 frames a second -> statistics -> embedding -> logits."""

    front_end = "whisper_log_mel"
    rate_hz = 16_000
    max_input_s = LONGEST_S
    predicted_step_s = STRIDE / 100
    shift: Tensor
    scale: Tensor

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = chosen = TDNNSettings(**settings)  # type: ignore[arg-type]
        self.encoder = TDNNEncoder(chosen)
        pooled = 2 * (chosen.channels + chosen.predicted)
        self.register_buffer("shift", torch.zeros(pooled))
        self.register_buffer("scale", torch.ones(pooled))
        self.hidden = nn.Sequential(
            nn.Dropout(chosen.hidden_dropout), nn.Linear(pooled, chosen.hidden)
        )
        self.embedding_width = chosen.hidden
        self.dropout = nn.Dropout(chosen.dropout)
        self.head: nn.Module = nn.Linear(chosen.hidden, labels)
        if chosen.head == "offset":
            self.head = OffsetHead(labels, chosen.hidden)

    @property
    def frozen(self) -> bool:
        """Whether the encoder is frozen, so that training may cache its pooled statistics."""
        return not any(each.requires_grad for each in self.encoder.parameters())

    def forward_frozen(self, features: Features) -> Features:
        """Pooled statistics of a frozen encoder, as a single frame; else the features."""
        if not self.frozen:
            return features
        return Features(self.pool(features)[:, :, None], torch.ones_like(features.frames))

    def pool(self, features: Features) -> Tensor:
        """Statistics over the active time: (batch, 2 (channels + predicted))."""
        frames, predicted, mask = self.encoder(features)
        states = [torch.cat([frames, predicted], dim=2)]
        return statistics_pooling(states, activity(features, mask.shape[1], STRIDE))

    def predict_states(self, features: Features) -> Tensor:
        return self.encoder(features)[1]  # type: ignore[no-any-return]

    def forward_embedding(self, features: Features) -> Tensor:
        return self.hidden(self.statistics(features))  # type: ignore[no-any-return]

    def statistics(self, features: Features) -> Tensor:
        pooled = features.values[:, :, 0] if self.frozen else self.pool(features)
        return (pooled - self.shift) * self.scale

    def forward_head(self, embeddings: Tensor) -> Tensor:
        if self.has_offset:
            return self.head(embeddings)  # type: ignore[no-any-return]
        return self.head(self.dropout(F.gelu(embeddings)))  # type: ignore[no-any-return]

    def projection_parts(self) -> tuple[Tensor, Tensor, nn.Linear]:
        return self.shift, self.scale, self.hidden[1]  # type: ignore[return-value]

    def frozen_settings(self) -> object:
        """The settings but for those of the head."""
        return replace(self.settings, hidden=1, hidden_dropout=0.0, dropout=0.0, head="linear")

    def fit_statistics(self, batches: Iterable[Features]) -> None:
        """Take shift and scale from the pooled statistics of a training set."""
        if not self.frozen:
            return
        rows = torch.cat([features.values[:, :, 0] for features in batches])
        self.shift.copy_(rows.mean(0))
        self.scale.copy_(1 / (rows.std(0) + 1e-6))
