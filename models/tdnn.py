"""A light network of dilated convolutions over time: what the recipe `fast` trains.

Whisper's log-mel bands, a frame every 40 ms after two strided convolutions, residual blocks whose
dilations widen what a frame hears to a second, statistics over time, an embedding, a head. A
segment keeps its own length: frames past its end are zeroed before every convolution.

Source: Peddinti et al. 2015 and Snyder et al. 2018 (x-vectors), for the shape.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from batch_ser.features import WHISPER_MELS, Features
from models.network import Network
from models.pooling import activity, mask_of, statistics_pooling

STRIDE = 4  # log-mel frames of 10 ms to a frame of 40 ms
LONGEST_S = 30.0


@dataclass(frozen=True)
class TDNNSettings:
    """Sizes and dropout."""

    channels: int = 192
    dilations: tuple[int, ...] = (1, 2, 3, 1, 2, 3)
    imitated: int = 0  # axes of a teacher's states that every frame is taken to; 0: none
    hidden: int = 256  # the embedding
    hidden_dropout: float = 0.2  # of pooled statistics
    dropout: float = 0.3  # of what the head hears
    adapted: bool = False  # a second head, for embeddings relative to their group

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))  # JSON gives a list
        if min(self.channels, self.hidden, *self.dilations) < 1 or self.imitated < 0:
            raise ValueError("channels, hidden and dilations: expected 1 or more; imitated: 0")


class MaskedNorm(nn.BatchNorm1d):
    """Batch norm that learns from frames with sound only, and keeps the others at zero."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """`x` (batch, channels, time), `mask` (batch, time)."""
        if not self.training:
            return super().forward(x) * mask[:, None]
        frames = super().forward(x.transpose(1, 2)[mask])
        found = torch.zeros_like(x.transpose(1, 2), dtype=frames.dtype)
        found[mask] = frames
        return found.transpose(1, 2)


class Block(nn.Module):
    """One residual block: norm, dilated convolution of three frames, GELU."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = MaskedNorm(channels)
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + F.gelu(self.convolution(self.norm(x, mask))) * mask[:, None]


class TDNN(Network):
    """(batch, 80, frames) log-mel -> 25 frames a second -> statistics -> embedding -> logits."""

    front_end = "whisper_log_mel"
    rate_hz = 16_000
    max_input_s = LONGEST_S

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = chosen = TDNNSettings(**settings)  # type: ignore[arg-type]
        width = chosen.channels
        self.first = nn.Conv1d(WHISPER_MELS, width, 3, stride=2, padding=1)
        self.first_norm = MaskedNorm(width)
        self.second = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(width, each) for each in chosen.dilations)
        self.last_norm = MaskedNorm(width)
        if chosen.imitated:
            self.imitation = nn.Linear(width, chosen.imitated)
            self.imitation_s = STRIDE / 100
        pooled = 4 * (width + chosen.imitated)
        self.pooled_norm = nn.BatchNorm1d(pooled)
        self.hidden = nn.Sequential(
            nn.Dropout(chosen.hidden_dropout), nn.Linear(pooled, chosen.hidden)
        )
        self.embedding_width = chosen.hidden
        self.dropout = nn.Dropout(chosen.dropout)
        self.head = nn.Linear(chosen.hidden, labels)
        if chosen.adapted:
            self.add_adapted_head(labels)

    def represent(self, features: Features) -> Tensor:
        return self.represent_and_imitate(features)[0]

    def represent_and_imitate(self, features: Features) -> tuple[Tensor, Tensor]:
        frames, mask = self.frames(features)
        state = frames.transpose(1, 2)
        imitated = state[:, :, :0]
        if self.settings.imitated:
            imitated = self.imitation(state)
            state = torch.cat([state, imitated], dim=2)
        weights = activity(features, mask.shape[1], STRIDE)
        pooled = [statistics_pooling([state], each) for each in (mask, weights)]
        return self.hidden(self.pooled_norm(torch.cat(pooled, dim=1))), imitated

    def frames(self, features: Features) -> tuple[Tensor, Tensor]:
        """Frames of 40 ms (batch, channels, time), and where a segment has them (batch, time)."""
        mask = mask_of((features.frames + 1) // 2, (features.values.shape[2] + 1) // 2)
        x = F.gelu(self.first_norm(self.first(features.values), mask)) * mask[:, None]
        mask = mask_of((features.frames + STRIDE - 1) // STRIDE, (mask.shape[1] + 1) // 2)
        x = F.gelu(self.second(x)) * mask[:, None]
        for block in self.blocks:
            x = block(x, mask)
        return self.last_norm(x, mask), mask

    def classify(self, embeddings: Tensor) -> Tensor:
        return self.head(self.dropout(F.gelu(embeddings)))  # type: ignore[no-any-return]

    def classify_adapted(self, embeddings: Tensor) -> Tensor:
        return self.adapted(self.dropout(F.gelu(embeddings)))  # type: ignore[no-any-return]
