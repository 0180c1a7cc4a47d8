"""The encoder of OpenAI's Whisper with pooling and a light head, on a segment's own length.

The original pads every input to 30 s: for a segment of 3 s that is ten times the work. Here a
segment keeps its length. So that neighbours in a batch change nothing, frames past a segment's
end are zeroed before both convolutions (as the convolutions' own padding would be) and masked in
attention and pooling.

Source: Radford et al. 2022, github.com/openai/whisper (model.py); weight names are those of
Hugging Face's `WhisperEncoder`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from batch_ser.features import Features
from models.fields import Checked
from models.network import Network
from models.offset_head import OffsetHead
from models.pooling import Attention, activity, mask_of, padding_mask, statistics_pooling
from models.transformer import Block

POOLINGS = ("statistics", "active", "attentive")
HEADS = ("linear", "offset")


@dataclass(frozen=True)
class WhisperSettings(Checked):
    """Sizes of the network and use of its layers; the defaults are Whisper tiny's."""

    taps: tuple[int, ...] = (2, 3, 4)  # layers that are pooled; 0: the input of the first block
    layers: int = 4
    final_norm: bool = True  # after the last layer; False where the encoder had more layers
    d_model: int = 384
    heads: int = 6
    mels: int = 80
    max_positions: int = 1500  # 50 a second: 30 s
    frozen_layers: int | None = None  # blocks, and the convolutions; -1: nothing; None: all
    layer_weights: bool = False  # a learned mixture of the taps instead of their concatenation
    pooling: str = "statistics"  # of all frames; active: of those with sound; or attentive
    hidden: int = 0  # width of the embedding between pooling and head; 0: the pooled statistics
    hidden_dropout: float = 0.0  # of the pooled statistics
    dropout: float = 0.0  # of the head's input
    head: str = "linear"  # or offset: `OffsetHead`, on an embedding

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.taps or len(set(self.taps) & set(range(self.layers + 1))) < len(self.taps):
            raise ValueError(f"taps {self.taps}: expected different layers, 0 to {self.layers}")
        if self.heads < 1 or self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model}: expected a multiple of heads ({self.heads})")
        if not -1 <= self.depth <= self.layers:
            raise ValueError(f"frozen_layers {self.frozen_layers}: expected -1 to {self.layers}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling}: expected one of {', '.join(POOLINGS)}")
        if self.pooling == "active" and not self.pooling_frozen:
            raise ValueError("pooling active: expected a frozen encoder without layer_weights")
        if self.head not in HEADS or self.hidden < (1 if self.head == "offset" else 0):
            raise ValueError(
                f"head {self.head}, hidden {self.hidden}: expected {' or '.join(HEADS)}, and for "
                "offset 1 or more hidden numbers"
            )

    @property
    def depth(self) -> int:
        """How many blocks are frozen, -1 where not even the convolutions are."""
        return self.layers if self.frozen_layers is None else self.frozen_layers

    @property
    def pooling_frozen(self) -> bool:
        """Whether pooling has nothing to learn either, so that `forward_frozen` does it."""
        trained = self.layer_weights or self.pooling == "attentive"
        return self.depth == self.layers and not trained

    @property
    def pooled_width(self) -> int:
        """Width of the pooled statistics."""
        states = 1 if self.layer_weights else len(self.taps)
        return 2 * self.d_model * states


class WhisperEncoder(nn.Module):
    """Log-mel frames to the hidden states that `taps` names."""

    def __init__(self, settings: WhisperSettings) -> None:
        super().__init__()
        width = settings.d_model
        self.taps = settings.taps
        self.conv1 = nn.Conv1d(settings.mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(settings.max_positions, width)
        self.layers = nn.ModuleList(Block(width, settings.heads) for _ in range(settings.layers))
        self.layer_norm = nn.LayerNorm(width) if settings.final_norm else nn.Identity()

    def stem(self, features: Features) -> tuple[Tensor, Tensor]:
        """Convolutions and positions: the first block's input (batch, time, d), and its mask.

        A frame every 20 ms; the mask (batch, time) is True before each segment's own end.
        """
        x = F.gelu(self.conv1(features.values))
        x = x * mask_of(features.frames, x.shape[2])[:, None]
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        mask = mask_of((features.frames + 1) // 2, x.shape[1])
        return x + self.embed_positions.weight[: x.shape[1]], mask

    def blocks(self, x: Tensor, mask: Tensor, first: int, last: int) -> tuple[list[Tensor], Tensor]:
        """Blocks `first` + 1 to `last`: their tapped states, and the last state."""
        attend = padding_mask(mask)
        attend = None if attend is None else attend[:, None, None]
        states = []
        for number in range(first + 1, last + 1):
            x = self.layers[number - 1](x, attend)
            if number in self.taps:
                states.append(self.layer_norm(x) if number == len(self.layers) else x)
        return states, x

    def forward(self, features: Features) -> tuple[list[Tensor], Tensor]:
        """The tapped states, each (batch, time of 20 ms, d), and the mask (batch, time)."""
        x, mask = self.stem(features)
        states, _ = self.blocks(x, mask, 0, max(self.taps))
        return ([x] if 0 in self.taps else []) + states, mask


class WhisperClassifier(Network):
    """Encoder, pooling, standardisation, an optional embedding, a light head.

    The embedding is linear in the pooled statistics; a linear head has an activation before it.
    """

    encoder: WhisperEncoder
    shift: Tensor
    scale: Tensor
    front_end = "whisper_log_mel"
    pretrained = "encoder"
    rate_hz = 16_000

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = chosen = WhisperSettings(**settings)  # type: ignore[arg-type]
        self.max_input_s = chosen.max_positions / 50
        self.encoder = WhisperEncoder(chosen)
        width = chosen.pooled_width
        if chosen.layer_weights:
            self.mixture = nn.Parameter(torch.zeros(len(chosen.taps)))
        if chosen.pooling == "attentive":
            self.attention = Attention(chosen.d_model)
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        if chosen.hidden:
            self.hidden = nn.Sequential(
                nn.Dropout(chosen.hidden_dropout), nn.Linear(width, chosen.hidden)
            )
        self.dropout = nn.Dropout(chosen.dropout)
        self.embedding_width = chosen.hidden or width
        self.head: nn.Module = nn.Linear(self.embedding_width, labels)
        if chosen.head == "offset":
            self.head = OffsetHead(labels, self.embedding_width)
        for parameter in self._frozen():
            parameter.requires_grad_(False)

    def _frozen(self) -> Iterable[nn.Parameter]:
        depth, encoder = self.settings.depth, self.encoder
        if depth < 0:
            return []
        parts = [encoder.conv1, encoder.conv2, encoder.embed_positions, *encoder.layers[:depth]]
        if depth == self.settings.layers:
            parts.append(encoder.layer_norm)
        return [parameter for part in parts for parameter in part.parameters()]

    def forward_frozen(self, features: Features) -> Features:
        """The frozen layers: their tapped states and the last one, concatenated.

        Where pooling is frozen too: its statistics, as a single frame.
        """
        depth = self.settings.depth
        if depth < 0:
            return features
        if self.settings.pooling_frozen:
            states, mask = self.encoder(features)
            active = self.settings.pooling == "active"
            weights = activity(features, mask.shape[1]) if active else mask
            pooled = statistics_pooling(states, weights)
            return Features(pooled[:, :, None], torch.ones_like(features.frames))
        x, mask = self.encoder.stem(features)
        states = [x] if 0 in self.settings.taps else []
        tapped, x = self.encoder.blocks(x, mask, 0, depth)
        states += tapped
        if depth < self.settings.layers:
            states.append(x)
        values = torch.cat(states, dim=2) * mask[:, :, None]
        return Features(values.transpose(1, 2), mask.sum(1))

    def pool(self, features: Features) -> Tensor:
        """Pooled statistics (batch, width), not standardised, of the output of `forward_frozen`."""
        if self.settings.pooling_frozen:
            return features.values[:, :, 0]
        states, mask = self._states(features)
        if self.settings.layer_weights:
            shares = self.mixture.softmax(0)
            normal = [F.layer_norm(state, state.shape[2:]) for state in states]
            states = [sum(share * one for share, one in zip(shares, normal, strict=True))]
        attentive = self.settings.pooling == "attentive"
        return statistics_pooling(states, self.attention(states[-1], mask) if attentive else mask)

    def _states(self, features: Features) -> tuple[list[Tensor], Tensor]:
        """The tapped states and their mask, from the output of `forward_frozen`."""
        depth, layers = self.settings.depth, self.settings.layers
        if depth < 0:
            return self.encoder(features)  # type: ignore[no-any-return]
        mask = mask_of(features.frames, features.values.shape[2])
        states = list(torch.split(features.values.transpose(1, 2), self.settings.d_model, dim=2))
        if depth < layers:
            states += self.encoder.blocks(states.pop(), mask, depth, layers)[0]
        return states, mask

    def forward_embedding(self, features: Features) -> Tensor:
        pooled = self.statistics(features)
        return self.hidden(pooled) if self.settings.hidden else pooled

    def statistics(self, features: Features) -> Tensor:
        return (self.pool(features) - self.shift) * self.scale

    def forward_head(self, embeddings: Tensor) -> Tensor:
        if self.has_offset or not self.settings.hidden:
            return self.head(self.dropout(embeddings))  # type: ignore[no-any-return]
        return self.head(self.dropout(F.gelu(embeddings)))  # type: ignore[no-any-return]

    def projection_parts(self) -> tuple[Tensor, Tensor, nn.Linear]:
        return self.shift, self.scale, self.hidden[1]  # type: ignore[return-value]

    def frozen_settings(self) -> object:
        """The settings but for those of the head."""
        return replace(self.settings, hidden=0, hidden_dropout=0.0, dropout=0.0, head="linear")

    def fit_statistics(self, batches: Iterable[Features]) -> None:
        """Take shift and scale from the pooled statistics of a training set."""
        rows = torch.cat([self.pool(features) for features in batches])
        self.shift.copy_(rows.mean(0))
        self.scale.copy_(1 / (rows.std(0) + 1e-6))
