"""The encoder of OpenAI's Whisper with pooling and a linear head, on a segment's own length.

The original pads every input to 30 s: for a segment of 3 s that is ten times the work. Here a
segment keeps its length. So that neighbours in a batch change nothing, frames past a segment's
end are zeroed before both convolutions (as the convolutions' own padding would be) and masked in
attention and pooling.

Source: Radford et al. 2022, github.com/openai/whisper (model.py); weight names are those of
Hugging Face's `WhisperEncoder`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from batch_ser.features import Features


@dataclass(frozen=True)
class WhisperSettings:
    """Sizes of the network; the defaults are Whisper tiny's encoder."""

    taps: tuple[int, ...] = (2, 3, 4)  # layers that are pooled: 0 is the input of the first block
    layers: int = 4
    d_model: int = 384
    heads: int = 6
    mels: int = 80
    max_positions: int = 1500  # of 20 ms: 30 s

    def __post_init__(self) -> None:
        object.__setattr__(self, "taps", tuple(self.taps))  # JSON gives a list
        if not self.taps or not all(0 <= tap <= self.layers for tap in self.taps):
            raise ValueError(f"taps {self.taps}: expected layers from 0 to {self.layers}")


class SelfAttention(nn.Module):
    """Multi-head self-attention; `k_proj` has no bias, as in Whisper."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        """`x` (batch, time, d); `attend` (batch, 1, 1, time), True where there is sound."""
        q, k, v = (
            projection(x)
            .unflatten(2, (self.heads, -1))
            .transpose(1, 2)  # (batch, heads, time, d/h)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One pre-norm Transformer block."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(d_model, heads)
        self.self_attn_layer_norm = nn.LayerNorm(d_model)
        self.fc1 = nn.Linear(d_model, 4 * d_model)
        self.fc2 = nn.Linear(4 * d_model, d_model)
        self.final_layer_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), attend)
        hidden = F.gelu(self.fc1(self.final_layer_norm(x)))
        return x + self.fc2(hidden)  # type: ignore[no-any-return]


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
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, features: Features) -> tuple[list[Tensor], Tensor]:
        """The tapped states, each (batch, time of 20 ms, d), and the mask (batch, time)."""
        x = F.gelu(self.conv1(features.values))
        x = x * _mask(features.frames, x.shape[2])[:, None]
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        mask = _mask((features.frames + 1) // 2, x.shape[1])
        x = x + self.embed_positions.weight[: x.shape[1]]
        attend = None if bool(mask.all()) else mask[:, None, None]
        states = [x] if 0 in self.taps else []
        for number, block in enumerate(self.layers, start=1):
            x = block(x, attend)
            if number in self.taps:
                last = number == len(self.layers)
                states.append(self.layer_norm(x) if last else x)
        return states, mask


def _mask(frames: Tensor, length: int) -> Tensor:
    """(batch, length), True before each segment's own end."""
    return torch.arange(length, device=frames.device) < frames[:, None]


def statistics_pooling(states: list[Tensor], mask: Tensor) -> Tensor:
    """Mean and standard deviation over the time of each state: (batch, states * 2 * d)."""
    weights = mask[:, :, None] / mask.sum(1)[:, None, None]  # (batch, time, 1)
    pooled = []
    for state in states:
        mean = (state * weights).sum(1)
        variance = ((state - mean[:, None]) ** 2 * weights).sum(1)
        pooled += [mean, (variance + 1e-8).sqrt()]
    return torch.cat(pooled, dim=1)


class WhisperClassifier(nn.Module):
    """Encoder, statistics pooling, standardisation, linear head."""

    shift: Tensor
    scale: Tensor
    front_end = "whisper_log_mel"
    rate_hz = 16_000
    max_input_s = 30.0

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = WhisperSettings(**settings)  # type: ignore[arg-type]
        self.encoder = WhisperEncoder(self.settings)
        width = 2 * self.settings.d_model * len(self.settings.taps)
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.head = nn.Linear(width, labels)

    def embed(self, features: Features) -> Tensor:
        """Pooled statistics of the tapped layers (batch, width), not standardised."""
        return statistics_pooling(*self.encoder(features))

    def forward(self, features: Features) -> Tensor:
        """Logits (batch, labels)."""
        return self.head((self.embed(features) - self.shift) * self.scale)  # type: ignore
