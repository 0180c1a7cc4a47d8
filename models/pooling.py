"""Pooling over a segment's own time: statistics, and learned attention."""

import math

import torch
from torch import Tensor, nn

from batch_ser.features import Features

ATTENTION_WIDTH = 128
TO_POWER = 4 * math.log(10)  # Whisper's log-mel is (log10 of power + 4) / 4
ACTIVE, SOFT = 2.8, 0.3  # log10 of power: how far below the loudest frame, and how sharply


def mask_of(frames: Tensor, length: int) -> Tensor:
    """(batch, length), True before each segment's own end."""
    return torch.arange(length, device=frames.device) < frames[:, None]


def padding_mask(mask: Tensor) -> Tensor | None:
    """The mask, or None where all segments are of one length.

    Masking takes a tenth of a network's time. A graph that is exported has no branches: it masks.
    """
    return mask if torch.compiler.is_exporting() or not bool(mask.all()) else None


def statistics_pooling(states: list[Tensor], weights: Tensor) -> Tensor:
    """Weighted mean and standard deviation over the time of each state (batch, states * 2 * d).

    `weights` (batch, time) are normalised here; with a mask, each frame of a segment counts alike.
    """
    shares = (weights / weights.sum(1, keepdim=True))[:, :, None]
    pooled = []
    for state in states:
        mean = (state * shares).sum(1)
        variance = ((state - mean[:, None]) ** 2 * shares).sum(1)
        pooled += [mean, (variance + 1e-8).sqrt()]
    return torch.cat(pooled, dim=1)


def activity(features: Features, length: int, step: int = 2) -> Tensor:
    """Activity of each `step`-th frame of Whisper's log-mel (batch, length).

    Near 1 where a frame's power is close to that of its segment's loudest frame, half 28 dB below
    it, 0.001 far below, 0 past the segment's end: silence around an utterance hardly counts.
    """
    frames = (features.frames + step - 1) // step
    values = features.values[:, :, : step * length : step]
    power = torch.exp(TO_POWER * (values - 1)).mean(1) * mask_of(frames, length)
    loudness = (power + 1e-20).log10()
    active = torch.sigmoid((loudness - loudness.amax(1, keepdim=True) + ACTIVE) / SOFT) + 1e-3
    return active * mask_of(frames, length)


class Attention(nn.Module):
    """Weights of frames. Source: Okabe et al. 2018, attentive statistics pooling."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, ATTENTION_WIDTH), nn.Tanh(), nn.Linear(ATTENTION_WIDTH, 1)
        )

    def forward(self, state: Tensor, mask: Tensor) -> Tensor:
        """Weights (batch, time), zero past a segment's end."""
        scores = self.score(state).squeeze(2).masked_fill(~mask, float("-inf"))
        return torch.softmax(scores, 1)
